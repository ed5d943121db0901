package httpcodec

import (
	"strings"
	"testing"
)

// FuzzExchange sends bytes through a running proxy, over sockets, to a host that records what reaches it. It compares what was
// on the three wires (two of the client, one of the host) with the proxy's access log, by parsing it with net/http. It fails if
// a wire has anything that is not part of a logged message, or if an exchange does not end or leaves something behind.
func FuzzExchange(f *testing.F) {
	for _, s := range exchangeSeeds() {
		f.Add([]byte(s.in), []byte(s.replies), s.seed)
	}
	w := startWires(f)
	f.Fuzz(func(t *testing.T, in, replies []byte, seed uint64) {
		if len(in) > 128<<10 || len(replies) > 128<<10 {
			t.Skip("too long")
		}
		w.run(t, string(in), string(replies), seed)
	})
}

// next separates the replies to successive requests.
const next = "\x00|"

type exchangeSeed struct {
	in, replies string
	seed        uint64
}

// smuggled has requests that contain another request which only some parsers see.
var smuggled = []string{
	postRoot + "Content-Length: 6\r\n" + te + "\r\n0\r\n\r\nG",
	postRoot + te + "Content-Length: 4\r\n\r\n5c\r\nGET /x HTTP/1.1\r\nHost: p\r\nContent-Length: 15\r\n\r\nx=1\r\n0\r\n\r\n",
	postRoot + te + "Transfer-Encoding: x\r\n\r\n0\r\n\r\n" + getRoot, postRoot + "Transfer-Encoding: x\r\n" + te + "\r\n0\r\n\r\n" + getRoot,
	postRoot + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + getRoot, postRoot + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + getRoot,
	postRoot + "Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n" + getRoot, postRoot + " Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + getRoot,
	postRoot + "X: X\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + getRoot, postRoot + "Transfer-Encoding\r\n : chunked\r\n\r\n0\r\n\r\n" + getRoot,
	postRoot + "Transfer-Encoding: \x0bchunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", postRoot + "X: a\r\n\tTransfer-Encoding: chunked\r\n\r\n" + getRoot,
	postRoot + te + "\r\n2;\nxx\r\n0\r\n\r\n" + getRoot, postRoot + te + "\r\n2;\rxx\r\n0\r\n\r\n" + getRoot, postRoot + te + "\r\n2\nxx\r\n0\r\n\r\n" + getRoot,
	postRoot + te + "\r\n2;a=\"\r\nxx\r\n0\r\n\r\n\"\r\n0\r\n\r\n" + getRoot, postRoot + te + "\r\n3\r\nabcX\r\n0\r\n\r\n" + getRoot,
	postRoot + te + "\r\n0\r\nContent-Length: 40\r\n\r\n" + getRoot, postRoot + te + "\r\n0\r\n X: y\r\n\r\n" + getRoot, postRoot + te + "\r\n0\r\nX: y\n\n" + getRoot,
	postRoot + te + "\r\nffffffffffffffff1\r\na\r\n0\r\n\r\n", postRoot + te + "\r\n-1\r\n" + getRoot, postRoot + te + "\r\n0x2\r\nab\r\n0\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: p\r\nContent-Length: 33\r\nConnection: Content-Length\r\n\r\n" + getRoot, postRoot + "Connection: Transfer-Encoding\r\n" + te + "\r\n0\r\n\r\n" + getRoot,
	"GET / HTTP/1.1\r\nHost: p\r\nContent-Length: 028\r\n\r\n" + getRoot, "GET / HTTP/1.1\r\nHost: p\r\nContent-Length: 5, 5\r\n\r\nhello" + getRoot,
	"GET / HTTP/1.1\r\nHost: p\r\nContent_Length: 28\r\n\r\n" + getRoot, "GET http://p/\r\nX:1 HTTP/1.1\r\nHost: p\r\n\r\n", "GET / HTTP/1.1\r\nHost: p\r\nX: a\rHost: q\r\n\r\n" + getRoot,
	"GET / HTTP/1.1\r\nHost: p\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	"HEAD / HTTP/1.1\r\nHost: p\r\n\r\n" + getRoot, postRoot + "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc" + getRoot,
	"GET / HTTP/1.0\r\nConnection: keep-alive\r\n" + te + "\r\n0\r\n\r\n" + getRoot, "GET / HTTP/1.0\r\n\r\n" + getRoot, "\n" + getRoot, "\r\n\r\n" + getRoot + "\r\n" + getRoot,
	postRoot + "Content_Length: 28\r\nTransfer.Encoding: chunked\r\n\r\n" + getRoot, "HEAD / HTTP/9.9\r\n\r\n" + getRoot, "HEAD /\r\n\r\n" + getRoot,
	postRoot + te + "\r\n2 \t;x\r\nxx\r\n0 ;\r\n\r\n" + getRoot, postRoot + te + "\r\n2 \r\nxx\r\n0\r\n\r\n" + getRoot,
	"GET / HTTP/1.1\r\nHost: p\r\nX_Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nConnection: X-Forwarded-For\r\n\r\n" + getRoot,
	postRoot + te + "\r\n0\r\nX.Real_IP: 6.6.6.6\r\n\r\n" + getRoot, "GET /\xc3\xa9?\xff HTTP/1.1\r\nHost: p:\r\n\r\n" + getRoot,
	"GET http://q/ HTTP/1.1\r\nHost: p\r\nExpect:\r\n\r\n\r\n\r\n\r\n\r\n" + getRoot, "GET / HTTP/1.1\r\nHost: p\r\nConnection: a b\r\n\r\n" + getRoot,
	"OPTIONS http://p HTTP/1.1\r\nHost: p\r\nMax-Forwards: 1\r\n\r\n" + ping + getRoot, "TRACE / HTTP/1.1\r\nHost: p\r\nMax-Forwards: 0\r\n\r\n" + getRoot,
}

const (
	askSwitch  = "GET /w HTTP/1.1\r\nHost: p\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
	postSwitch = "POST /w HTTP/1.1\r\nHost: p\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
	switched   = "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
)

func exchangeSeeds() (all []exchangeSeed) {
	for i, r := range rows {
		all = append(all, exchangeSeed{r.in, strings.Join(r.replies, next), uint64(i)})
	}
	for in := range refused {
		all = append(all, exchangeSeed{in + getRoot, hi, uint64(len(in))}, exchangeSeed{getRoot + in + getRoot, hi, uint64(len(in) / 2)})
	}
	for i, reply := range nonsense {
		all = append(all, exchangeSeed{getRoot + getRoot, hi + next + reply + next + hi, uint64(i)})
	}
	for _, s := range stray {
		all = append(all, exchangeSeed{s.method + getRoot[3:] + getRoot, s.reply + next + hi, uint64(len(s.reply))})
	}
	for i, in := range smuggled {
		all = append(all, exchangeSeed{in, hi, uint64(i)}, exchangeSeed{getRoot + in, hi + next + hi, uint64(i) * 7})
	}
	cont := "HTTP/1.1 100 Continue\r\n\r\n"
	for i, reply := range []string{
		"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", "HTTP/1.1 999 x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi", okHead + "Content-Length: 2, 2\r\n\r\nhi",
		"HTTP/1.1 204 No\r\n" + te + "\r\n0\r\n\r\n", okHead + te + "X : y\r\n\r\n2 \r\nhi\r\n0\r\nX : y\r\n\r\n", "HTTP/1.1 103 E\r\n" + te + "\r\n" + hi,
		"HTTP/1.1 103 E\r\n" + te + "\r\n0\r\n\r\n" + hi, okHead + "Connection: ;\r\nContent-Length: 2\r\n\r\nhi", strings.Repeat(cont, 20) + hi,
	} {
		all = append(all, exchangeSeed{getRoot + getRoot, reply + next + hi, uint64(i)}, exchangeSeed{"HEAD" + getRoot[3:] + getRoot, hi + next + reply, uint64(i) * 5})
	}
	return append(all,
		exchangeSeed{askSwitch + "to the host", switched + "to the client", 1},
		exchangeSeed{getRoot + askSwitch + getRoot, hi + next + switched, 2},
		exchangeSeed{askSwitch + getRoot, hi + next + hi, 3},
		exchangeSeed{getRoot + getRoot, hi + next + closes, 4}, // the request is retried
		exchangeSeed{getRoot + postRoot + "\r\n", hi + next + closes, 5},
		exchangeSeed{getRoot + getRoot + getRoot, hi + next + resets, 6},
		exchangeSeed{postRoot + "Content-Length: 30\r\n\r\nabc", early + hi, 7},
		exchangeSeed{postRoot + "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", early + cont + next + hi, 8},
		exchangeSeed{postRoot + te + "\r\n3\r\nabc\r\n0\r\n\r\n" + getRoot, cont + hi + next + cont + cont + hi, 9},
		exchangeSeed{postSwitch + "Content-Length: 3\r\n\r\nabcto the host", switched + "to the client", 10},
		exchangeSeed{postSwitch + te + "\r\n3\r\nabc\r\n0\r\n\r\nto the host", early + switched + "to the client", 11},
		exchangeSeed{postSwitch + "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabcto the host", early + cont + switched, 12},
		exchangeSeed{postRoot + te + "\r\n3\r\nabc\r\n0\r\n\r\n" + getRoot, early + hi + next + hi, 13},
		exchangeSeed{postRoot + "Content-Length: 3\r\n\r\nabc" + getRoot, early + hi + closes + next + hi, 14},
		exchangeSeed{getRoot + "PUT / HTTP/1.1\r\nHost: p\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", hi + next + early + closes, 15},
	)
}

// Each seed, cut in several ways.
func TestExchangeSeeds(t *testing.T) {
	t.Parallel()
	w := startWires(t)
	for _, s := range exchangeSeeds() {
		for _, seed := range []uint64{s.seed, 0, 1, 2, 5, 10, 15, 7 << 32} {
			w.run(t, s.in, s.replies, seed)
		}
	}
}
