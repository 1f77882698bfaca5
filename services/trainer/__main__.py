from services.trainer import app

app.main()
