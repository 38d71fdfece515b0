"""The same job, done by skyloom and by what people would use instead."""
