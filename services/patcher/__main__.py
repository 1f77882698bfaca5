from services.patcher import app

app.main()
