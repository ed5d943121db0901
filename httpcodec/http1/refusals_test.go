package http1

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// rules has, for each reason to refuse a message, the rule that demands it or, where a rule leaves a choice, what two readers
// could interpret differently. Messages that no rule refuses and that all readers interpret alike are accepted.
var rules = map[string]string{
	// Lines and fields.
	"a line ends without cr":                       "RFC 9112 section 2.2: a recipient MAY take LF alone for the end of a line, so not all do",
	"cr without lf":                                "RFC 9112 section 2.2: to be refused or replaced; some readers end a line there",
	"too many empty lines before the request line": "RFC 9112 section 2.2: at least one SHOULD be ignored; four are",
	"not http":                                  "RFC 9112 section 2.1: a message begins with a start line",
	"head over 32768 bytes":                     "RFC 9110 section 5.4, RFC 6585 section 5",
	"more than 128 fields":                      "RFC 9110 section 5.4, RFC 6585 section 5",
	"a field line begins with white space":      "RFC 9112 sections 2.2 and 5.2: obs-fold, or white space before the first field, is to be refused or replaced",
	"a field without a name":                    "RFC 9110 section 5.1: a name is a token",
	"a field line without a colon":              "RFC 9112 section 5",
	"white space before the colon of a field":   "RFC 9112 section 5.1: MUST in requests; in responses it is removed, but not from a name that frames the message",
	"a field name is not a token":               "RFC 9110 section 5.1",
	"a control character in a field value":      "RFC 9110 section 5.5: NUL and CR MUST, others are invalid too, and some readers take them for white space",
	"request line too long":                     "RFC 9112 section 3: 414",
	"more than 32 connection options":           "RFC 9110 section 5.4: a set of fields larger than the server wishes to process",
	"malformed request line":                    "RFC 9112 section 3: single spaces part method, target and version; readers of words differ",
	"the method is not a token":                 "RFC 9110 section 9.1",
	"method over 64 bytes":                      "RFC 9112 section 3: 501",
	"malformed http version":                    "RFC 9112 section 2.3",
	"http version above 1":                      "RFC 9110 section 15.6.6: 505",
	"an invalid byte in the request target":     "RFC 9112 section 3.2: spaces and control characters part the line, # ends a target for some readers",
	"request target over 8192 bytes":            "RFC 9112 section 3: 414",
	"request target in an unknown form":         "RFC 9112 section 3.2",
	"malformed authority in the request target": "RFC 9110 section 4.2: no empty host, no user information; RFC 3986 section 3.2",
	"connect is not supported":                  "RFC 9110 section 9.1: 501",
	"no host":                                   "RFC 9112 section 3.2: MUST",
	"more than one host":                        "RFC 9112 section 3.2: MUST",
	"malformed host":                            "RFC 9112 section 3.2: MUST",
	"unknown expectation":                       "RFC 9110 section 10.1.1: 417",
	"malformed max-forwards":                    "RFC 9110 section 7.6.2: it MUST be counted down, which cannot be done",
	"trace with content":                        "RFC 9110 section 9.3.8: MUST NOT",

	// Framing.
	"more than one content-length":                            "RFC 9110 section 8.6: to be refused or made one; whoever sent us the request may have read another",
	"conflicting content-lengths":                             "RFC 9112 section 6.3: MUST",
	"malformed content-length":                                "RFC 9112 section 6.3: MUST",
	"content-length and transfer-encoding":                    "RFC 9112 section 6.3: ought to be handled as an error",
	"transfer-encoding in http/1.0":                           "RFC 9112 section 6.1: the framing is faulty",
	"more than one transfer-encoding":                         "RFC 9112 sections 6.1 and 6.3: chunked MUST NOT be applied twice, and nothing else is known",
	"malformed transfer-encoding":                             "RFC 9112 section 6.1",
	"unknown transfer coding":                                 "RFC 9112 section 6.1: 501",
	"chunked is not the last transfer coding, or is repeated": "RFC 9112 section 6.3: MUST",
	"malformed chunk size":                                    "RFC 9112 section 7.1: 1*HEXDIG, and no overflow",
	"chunk extension over 256 bytes":                          "RFC 9112 section 7.1.1: ought to be limited",
	"a control character in a chunk line":                     "RFC 9112 sections 2.2 and 7.1.1: a line that others end elsewhere",
	"no crlf after chunk data":                                "RFC 9112 section 7.1",

	// Responses.
	"malformed status line":                               "RFC 9112 section 4",
	"status below 100":                                    "RFC 9110 section 15: invalid, and some readers take it for an interim response",
	"a control character in the reason phrase":            "RFC 9112 section 4",
	"a 101 that the client did not ask for":               "RFC 9110 section 7.8: MUST NOT",
	"a 101 without connection: upgrade":                   "RFC 9110 section 7.8: MUST",
	"a 101 to a protocol that the client did not ask for": "RFC 9110 section 7.8: MUST NOT",
	"content-length in a 1xx":                             "RFC 9110 section 8.6: MUST NOT, and the bytes that it announces would be taken for the response",
}

var faultLine = regexp.MustCompile(`= newFault\((\d{3}), "([^"]*)"\)`)

// Each reason in the code for refusing a message has a rule, and the reasons for heads and chunks occur in the test tables. A
// reason without a rule is a matter of taste: accept the message instead.
func TestRefusalsHaveRules(t *testing.T) {
	t.Parallel()
	outcomes := map[string]bool{}
	var r Request
	for _, c := range requestCases {
		outcomes[answer(&r, c.in)] = true
	}
	var p Response
	for _, c := range responseCases {
		outcomes[answerOf(&p, requestOf(t, c.method), c.in)] = true
	}
	var k chunkReader
	for _, c := range chunkCases {
		outcomes[decode(&k, c.in)] = true
	}
	unused := map[string]bool{}
	for reason := range rules {
		unused[reason] = true
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, m := range faultLine.FindAllStringSubmatch(string(text), -1) {
			status, reason := m[1], m[2]
			if rules[reason] == "" {
				t.Errorf("%s: no rule for %q", name, reason)
			}
			if !outcomes[status+" "+reason] && !outcomes["502 "+reason] {
				t.Errorf("%s: no case comes to %s %q", name, status, reason)
			}
			delete(unused, reason)
		}
	}
	for reason := range unused {
		t.Errorf("the code does not know of %q", reason)
	}
}
