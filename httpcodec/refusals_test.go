package httpcodec

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// rules has, for each reason to refuse an exchange, the rule that demands it. The reasons to refuse a message are in http1.
var rules = map[string]string{
	"the request body is malformed":                                "the reason of the chunk that is malformed follows",
	"a plain HTTP request was sent to a TLS port":                  "RFC 9110 section 15.5.1",
	"the request names no host, which the redirect needs":          "RFC 9110 section 7.1: only HTTP/1.0 may do so, and there is no target URI to make another of",
	"the request target has no valid path":                         "RFC 3986 sections 2.1 and 6.2.2: routes and hosts would come to different paths; the reason follows",
	"no host reachable":                                            "RFC 9110 section 15.6.3",
	"the host has refused the request (REFUSED_STREAM, or GOAWAY)": "RFC 9113 section 8.7: it may be tried again, which was done, or its body is not at hand",
	"the host's connection failed":                                 "RFC 9110 section 15.6.3",
	"the host ended its connection before its response":            "RFC 9112 section 8",
	"the host's response is malformed":                             "the reason of its head or body follows",
	"the host switched protocols without taking the whole request": "RFC 9110 section 7.8: a response to the request comes first",
	"more than 262144 bytes of interim responses":                  "RFC 9110 section 15.2: any number may come; this bounds what one request may cost",
}

var causeLine = regexp.MustCompile(`= cause\{(400|502), "([^"]*)"[,}]`)

// Every reason in the code for refusing an exchange has a rule. A reason without a rule is a matter of taste: serve the request
// instead.
func TestRefusalsHaveRules(t *testing.T) {
	t.Parallel()
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
		for _, m := range causeLine.FindAllStringSubmatch(string(text), -1) {
			if rules[m[2]] == "" {
				t.Errorf("%s: no rule for %q", name, m[2])
			}
			delete(unused, m[2])
		}
	}
	for reason := range unused {
		t.Errorf("the code does not know of %q", reason)
	}
	if want := "more than " + strconv.Itoa(maxInterims) + " bytes of interim responses"; causeInterims.text != want {
		t.Errorf("%q, want %q", causeInterims.text, want)
	}
	if maxHeadWait != 10 {
		t.Errorf("%q, but maxHeadWait is %d", causeHeadWait.text, maxHeadWait)
	}
}
