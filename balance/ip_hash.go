package balance

var ipHashAlgorithm = Algorithm{
	Name: "ip_hash",
	Key:  KeyClient,
	Doc:  "always the same host for the same client address: `hash` with `$client_addr`",
	make: newByHash,
}
