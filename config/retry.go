package config

import (
	"strings"
	"time"
)

// Retry says when a request or a session is tried with another host.
type Retry struct {
	Attempts int // tries beyond the first, not counting those for which no connection could be made; 0 for none
	On       RetryOn
	Budget   int // further tries in percent of the requests, in total and at a time; each worker has a reserve of 10

	// The following are http only.
	Buffer     int           // bytes of a request's body that are kept for a further try
	TryTimeout time.Duration // to receive the head of a response; 0 for no limit
}

// RetryOn is the conditions for a retry.
type RetryOn struct {
	Connect bool // no connection could be made

	// The following are http only.
	Reset   bool     // the connection failed before the response
	Timeout bool     // the response did not come in time
	Status  Statuses // of a response
}

// retryWords are the values in "on" other than statuses.
var retryWords = []string{"connect", "reset", "timeout"}

// foreignRetries maps other programs' conditions to those of this program.
var foreignRetries = map[string]string{
	"error": `"connect" and "reset"`, "http_500": `"500"`, "http_502": `"502"`, "http_503": `"503"`, "http_504": `"504"`, "http_429": `"429"`,
	"invalid_header": `"reset"`, "non_idempotent": `nothing: requests that must not be repeated never are`, "off": `"retry": false`,
	"conn-failure": `"connect"`, "empty-response": `"reset"`, "junk-response": `"reset"`, "response-timeout": `"timeout"`, "all-retryable-errors": `"connect", "reset", "timeout" and "5xx"`,
	"connect-failure": `"connect"`, "refused-stream": `"reset"`, "gateway-error": `"502", "503" and "504"`, "retriable-4xx": `"409"`, "none": `"retry": false`,
}

// retryOn is an array of conditions: words and statuses.
type retryOn struct{}

var retryStatuses = statuses{low: 400}

func (retryOn) fallback() any { return RetryOn{Connect: true, Reset: true} }
func (retryOn) spell() string { return "`[\"connect\", \"reset\"]`" }

func (retryOn) schema(m modes) schema {
	return oneOrMore(func(modes) schema {
		return anyOf(schema{"enum": retryWords}, schema{"type": "integer", "minimum": retryStatuses.low, "maximum": maxStatus},
			schema{"type": "string", "pattern": retryStatuses.pattern() + "|" + reference})
	})(m)
}

func (retryOn) decode(o object, n *node, path string) any {
	var on RetryOn
	const remedy = `write ["connect", "reset", "502", "503"]`
	o.each1(n, path, remedy, func(n *node, path string) {
		word := n.literal()
		switch {
		case n.kind == kindString && word == "connect":
			on.Connect = true
		case n.kind == kindString && word == "reset":
			on.Reset = true
		case n.kind == kindString && word == "timeout":
			on.Timeout = true
		case n.kind == kindNumber || n.kind == kindString && word != "" && strings.IndexByte("0123456789", word[0]) >= 0:
			if r, what := retryStatuses.parse(n); what == "" {
				on.Status = append(on.Status, r)
			} else {
				o.fail(n, path, what, retryStatuses.remedy())
			}
		case n.kind != kindString:
			o.fail(n, path, "must be a condition, not "+n.describe(), remedy)
		default:
			o.fail(n, path, "unknown condition "+quote(word), retryRemedy(word))
		}
	})
	return on
}

func retryRemedy(word string) string {
	if ours := foreignRetries[strings.ToLower(word)]; ours != "" {
		return "here that is " + ours
	}
	if near := nearest(word, retryWords); near != nil {
		return didYouMean(near)
	}
	return "write " + list(retryWords) + `, a status such as "502", or "5xx"`
}

// onlyConnect warns of conditions in n, the value of "on", that cannot occur in stream mode.
func (o object) onlyConnect(n *node, path string) {
	if n.kind == kindArray && len(n.elements) == 0 {
		return // reported already
	}
	o.each1(n, path, "", func(n *node, path string) {
		if word := n.literal(); n.kind == kindNumber || n.kind == kindString && word != "connect" {
			o.warn(n.pos, path, quote(word)+` is ignored in "stream": once a session has begun, it cannot be repeated`, `write "connect" alone`)
		}
	})
}

// retry decodes "retry".
func (o object) retry() Retry {
	in, is := o.section("retry")
	if is == off {
		return Retry{}
	}
	var r Retry
	in.fill(ofRetry, &target{retry: &r})
	r.On.Connect = true // whatever "on" has
	if o.modes&inHTTP == 0 {
		r.On, r.Buffer, r.TryTimeout = RetryOn{Connect: true}, 0, 0
	}
	if r.Attempts == 0 {
		for _, key := range []string{"budget", "buffer"} {
			in.idle(key, true, `it is ignored with "attempts": 0: there are no retries`, "remove it")
		}
	}
	return r
}
