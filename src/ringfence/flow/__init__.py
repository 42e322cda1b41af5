"""Flows: verdict events as people read them. Columns until a person looks, then one `Flow` a row."""
