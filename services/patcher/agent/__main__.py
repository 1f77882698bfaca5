from services.patcher.agent import app

app.main()
