"""tabular: rows of numbers and texts, by scikit-learn, XGBoost or LightGBM, served as ONNX."""
