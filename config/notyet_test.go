package config

import (
	"testing"
	"time"
)

// What does nothing yet is refused wherever it stands, and only that.
func TestNotYet(t *testing.T) {
	t.Parallel()
	const input = `{"retry":true,"http":{"proxy_to":"b","retry":false,"max_conns":1,"servers":{"b":{"balancing_algo":"hash","hash_key":"$path",` +
		`"hosts":[{"host":"h","port":1,"weight":2,"max_conns":3}]}}},"hash_key":"$client_addr"}`
	_, _, err := parse(Source{Path: "f", Text: []byte(input)}, machine{}, decoder{open: readPEM, now: time.Now(), unmade: []unmade{
		{ofGroup, "balancing_algo", "hash"}, {ofGroup, "retry", ""}, {ofHost, "max_conns", ""}, {ofTarget, "weight", ""},
	}})
	const want = `f:1:2: retry: "retry" does nothing yet; remove it until a version has it
f:1:38: http.retry: "retry" does nothing yet; remove it until a version has it
f:1:52: http.max_conns: "max_conns" does nothing yet; remove it until a version has it
f:1:99: http.servers.b.balancing_algo: "hash" is not there yet; write another one until a version has it
f:1:166: http.servers.b.hosts[0].max_conns: "max_conns" does nothing yet; remove it until a version has it
5 errors in f`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if _, _, err := Parse("f", []byte(input)); err != nil {
		t.Errorf("with all made: %v", err)
	}
}
