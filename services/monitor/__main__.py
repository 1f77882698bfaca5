from services.monitor import app

app.main()
