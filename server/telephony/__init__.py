"""Telephone calls: bridges that send us their audio, and who reads what was said in them."""
