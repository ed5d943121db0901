package config

// Tests take all keys for made: what they are is what is tested.
func init() { notYet = []unmade{} }
