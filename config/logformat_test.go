package config_test

import (
	"fmt"
	"strings"
	"testing"

	"kroxy-ev/logformat"
)

// variables returns the variables of a mode, as a message lists them.
func variables(m logformat.Mode) string {
	var quoted []string
	for _, name := range logformat.Names(m) {
		quoted = append(quoted, fmt.Sprintf("%q", "$"+name))
	}
	last := len(quoted) - 1
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

func TestFormatAndHeaderErrors(t *testing.T) {
	t.Parallel()
	checkOutcomes(t, []outcomeCase{
		{stream(`"format_log":"$bytes_sent"`),
			`f:1:91: stream.format_log: unknown variable "$bytes_sent"; did you mean one of "$bytes_sent_upstream" or "$bytes_sent_downstream"?`},
		{stream(`"format_log":"\u00e9\n\ud83d\ude00 $status $clientaddr $ $5 $$ $_"`),
			`f:1:112: stream.format_log: "$status" is known in "http" only; the variables are ` + variables(logformat.Stream) + `
f:1:120: stream.format_log: unknown variable "$clientaddr"; did you mean "$client_addr"?
f:1:140: stream.format_log: unknown variable "$_"; the variables are ` + variables(logformat.Stream) + ``},
		{http(`"format_log":"$status$foo"`),
			`f:1:96: http.format_log: unknown variable "$foo"; the variables are ` + variables(logformat.HTTP) + ``},
		{stream(`"format_log":"$tls_version$tls_cipher$tls_sni"`), ``},
		{http(`"format_log":"$tls_version$tls_cipher$tls_sni $tls_snl"`),
			`f:1:121: http.format_log: unknown variable "$tls_snl"; did you mean "$tls_sni"?`},
		{stream(`"format_log":"$time_iso8601$request_id5 $client_port9"`), ``},
		{http(`"format_log":"json"`), ``},
		{http(`"format_log":{"who":"$client_addr:$client_port","took":"$processing_time","":"","json":"json"}`), ``},
		{stream(`"format_log":{}`),
			`f:1:90: stream.format_log: there are no fields in it; write { "client": "$client_addr", "took": "$processing_time" }, or "json" for all fields`},
		{stream(`"format_log":{"a":5,"b":"x$status","b":"y","c":{},"d":"$clientaddr"}`),
			`f:1:95: stream.format_log.a: must be a string, not the number 5; put it in double quotes: "5"
f:1:103: stream.format_log.b: "$status" is known in "http" only; the variables are ` + variables(logformat.Stream) + `
f:1:112: stream.format_log.b: the key is given twice, first in line 1; remove one of the two
f:1:124: stream.format_log.c: must be a string, not an object; write a string in double quotes
f:1:132: stream.format_log.d: unknown variable "$clientaddr"; did you mean "$client_addr"?`},
		{stream(`"format_log":5,"file_log":[]`),
			`f:1:90: stream.format_log: must be a string, not the number 5; put it in double quotes: "5"
f:1:103: stream.file_log: must be a string, not an array; write a string in double quotes`},
		{http(`"headers":{"A":"x","A":5}`),
			`f:1:94: http.headers.A: the key is given twice, first in line 1; remove one of the two`},
		{http(`"headers":[]`),
			`f:1:85: http.headers: must be an object, not an array; write an object: { "Host": "$host" }`},
		{http(`"headers":{"":"x","a b":"y","X:":"z","X-A":5,"X-B":"a\nb","Content-Length":"5","Host":"$host","host":"x","\u00e9":"x","X-C":null}`),
			`W f:1:133: http.headers.Content-Length: "Content-Length" describes one connection or the length of a message, which the proxy decides itself; remove it
W f:1:169: http.headers.host: the same header field as "Host", which it replaces: letter case does not count; remove one of the two
f:1:86: http.headers[""]: "" is not a header field name; write letters, digits and '-' without a colon or a space, such as "X-Real-IP"
f:1:93: http.headers["a b"]: "a b" is not a header field name; write letters, digits and '-' without a colon or a space, such as "X-Real-IP"
f:1:103: http.headers["X:"]: "X:" is not a header field name; write letters, digits and '-' without a colon or a space, such as "X-Real-IP"
f:1:118: http.headers.X-A: must be a string, not the number 5; put it in double quotes: "5"
f:1:126: http.headers.X-B: a control character in a header value; remove "\n" from it
f:1:180: http.headers["é"]: "é" is not a header field name; write letters, digits and '-' without a colon or a space, such as "X-Real-IP"
f:1:199: http.headers.X-C: must be a string, not null; write a string in double quotes`},
	})
}
