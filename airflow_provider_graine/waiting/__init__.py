"""What a poll means: one pure decision core for operators, sensors and triggers."""
