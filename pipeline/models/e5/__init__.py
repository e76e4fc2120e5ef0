"""multilingual-e5-small in 4 bits: its data file, its tokenizer, and the encoder made of them."""
