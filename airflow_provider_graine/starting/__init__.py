"""Starting campaigns within a budget and within calling hours; knows no Airflow and no HTTP."""
