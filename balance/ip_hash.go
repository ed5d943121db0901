package balance

var ipHashAlgorithm = Algorithm{
	Name: "ip_hash",
	Key:  KeyClient,
	Doc:  "the same for the client's address: `hash` with `$client_addr`",
	make: newByHash,
}
