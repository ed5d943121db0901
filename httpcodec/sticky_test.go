package httpcodec

import (
	"bufio"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"kroxy-ev/config"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/httpcodec/http1"
	"kroxy-ev/httpcodec/route"
)

var stickyIDs = []string{"web/10.0.0.1:80#0", "web/10.0.0.2:80#0", "web/10.0.0.2:80#1"}

func TestStickyCookies(t *testing.T) {
	t.Parallel()
	secret := []byte("0123456789abcdef0123456789abcdef")
	plain := NewSticky(&config.Sticky{Cookie: "kroxy", Path: "/", SameSite: "Lax"}, secret, stickyIDs)
	value := string(plain.tokens[1][:])
	for _, tc := range []struct {
		c      config.Sticky
		secure bool
		want   string
	}{
		{config.Sticky{Cookie: "kroxy", Path: "/", SameSite: "Lax"}, false, "kroxy=" + value + "; Path=/; HttpOnly; SameSite=Lax"},
		{config.Sticky{Cookie: "kroxy", Path: "/", SameSite: "Lax"}, true, "kroxy=" + value + "; Path=/; HttpOnly; SameSite=Lax; Secure"},
		{config.Sticky{Cookie: "c", Path: "/shop", Domain: "a.example", TTL: 90 * time.Second, SameSite: "None"}, true,
			"c=" + value + "; Path=/shop; Domain=a.example; Max-Age=90; HttpOnly; SameSite=None; Secure"},
		{config.Sticky{Cookie: "c", Path: "/", TTL: time.Millisecond, SameSite: "Strict"}, false, "c=" + value + "; Path=/; Max-Age=1; HttpOnly; SameSite=Strict"},
	} {
		got := string(NewSticky(&tc.c, secret, stickyIDs).cookie(1, tc.secure))
		if got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
		if c, err := http.ParseSetCookie(got); err != nil || c.Value != value || !c.HttpOnly || c.Secure != tc.secure {
			t.Errorf("%q: %+v, %v", got, c, err)
		}
	}

	// A host's position in the list does not matter, and another secret makes other cookies.
	turned := slices.Clone(stickyIDs)
	slices.Reverse(turned)
	if again := NewSticky(&config.Sticky{Cookie: "kroxy"}, secret, turned); again.tokens[1] != plain.tokens[1] || again.tokens[0] != plain.tokens[2] {
		t.Error("the cookies depend on the order of hosts")
	}
	if other := NewSticky(&config.Sticky{Cookie: "kroxy"}, []byte("another"), stickyIDs); other.named([]byte(value)) >= 0 {
		t.Error("the cookies do not depend on the secret")
	}
}

// Only a cookie that was given out names a host; anything else that a client sends is ignored.
func TestStickyCookiesOfClients(t *testing.T) {
	t.Parallel()
	s := NewSticky(&config.Sticky{Cookie: "kroxy", Path: "/", SameSite: "Lax"}, []byte("secret"), stickyIDs)
	good := string(s.tokens[2][:])
	flipped := "A" + good[1:]
	if good[0] == 'A' {
		flipped = "B" + good[1:]
	}
	var view route.View
	for cookie, want := range map[string]int{
		"kroxy=" + good:                         2,
		"a=b; kroxy=" + good + "; c":            2,
		"kroxy=" + flipped + "; kroxy=" + good:  2,
		"a=b\r\nCookie: kroxy=" + good:          2,
		"":                                      -1,
		"kroxy":                                 -1,
		"kroxy=":                                -1,
		"kroxy=" + flipped:                      -1,
		"kroxy=" + good[:21]:                    -1,
		"kroxy=" + good + "A":                   -1,
		"kroxy=" + strings.ToUpper(good) + "x":  -1,
		"Kroxy=" + good:                         -1,
		"xkroxy=" + good:                        -1,
		"kroxy=" + strings.Repeat("A", 8000):    -1,
		"kroxy=" + strings.Repeat("\xff", 22):   -1,
		strings.Repeat("kroxy=x; ", 1000) + "a": -1,
	} {
		var r http1.Request
		r.Reset()
		if n, err := r.Parse([]byte("GET / HTTP/1.1\r\nHost: a\r\nCookie: " + cookie + "\r\n\r\n")); n == 0 || err != nil {
			t.Fatal(n, err)
		}
		view.Begin(&r, nil)
		if got := s.host(&view); got != want {
			t.Errorf("%.60q: host %d, want %d", cookie, got, want)
		}
	}
}

// stuckTo sends p a request with the given cookie, and returns which host responded and the cookie that came with the response;
// "" for none.
func stuckTo(t *testing.T, p *proxy, cookie string) (host, set string) {
	t.Helper()
	c := p.dial()
	defer c.Close()
	head := getRoot[:len(getRoot)-2] + "Connection: close\r\n"
	if cookie != "" {
		head += "Cookie: a=b; " + cookie + "\r\n"
	}
	send(c, head+"\r\n", nil)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(res.Header["Set-Cookie"]); n > 1 {
		t.Errorf("%d cookies", n)
	}
	for _, k := range res.Cookies() {
		set = k.Name + "=" + k.Value
	}
	return res.Header.Get("X-Host"), set
}

// A client returns to its host. A client whose cookie is missing, forged, or names a host that is down gets another host and
// its cookie.
func TestSticky(t *testing.T) {
	t.Parallel()
	var hosts []netip.AddrPort
	for _, name := range []string{"a", "b", "c"} {
		hosts = append(hosts, startRecorder(t, always+okHead+"X-Host: "+name+"\r\nContent-Length: 0\r\n\r\n").addr)
	}
	hosts = append(hosts, enginetest.Refusing(t, enginetest.Loopback))
	s := NewSticky(&config.Sticky{Cookie: "kroxy", Path: "/", SameSite: "Lax"}, []byte("secret"), []string{"a", "b", "c", "d"})
	p := startProxy(t, func(f *flat) { f.Sticky = s }, hosts...)
	for range 3 { // round robin continues meanwhile
		host, cookie := stuckTo(t, p, "")
		if cookie == "" {
			t.Fatal("a client without a cookie gets none")
		}
		for range 4 {
			if again, set := stuckTo(t, p, cookie); again != host || set != "" {
				t.Errorf("from %s to %s, cookie %q", host, again, set)
			}
		}
		if host, set := stuckTo(t, p, cookie[:len(cookie)-1]+"-"); set == "" || host == "" {
			t.Errorf("a cookie that was tampered with: host %s, cookie %q", host, set)
		}
	}
	dead := "kroxy=" + string(s.tokens[3][:])
	host, set := stuckTo(t, p, dead)
	if host == "" || set == "" || set == dead {
		t.Errorf("a host that is down: %s, cookie %q", host, set)
	}
	if again, _ := stuckTo(t, p, set); again != host {
		t.Errorf("from %s to %s", host, again)
	}
}

// A client that a retry sends to another host stays there.
func TestStickyAfterARetry(t *testing.T) {
	t.Parallel()
	broken := startRecorder(t, always+resets)
	sound := startRecorder(t, always+okHead+"X-Host: b\r\nContent-Length: 0\r\n\r\n")
	s := NewSticky(&config.Sticky{Cookie: "kroxy", Path: "/", SameSite: "Lax"}, []byte("secret"), []string{"a", "b"})
	p := startProxy(t, func(f *flat) {
		retrying(1, config.RetryOn{Reset: true})(f)
		f.Sticky = s
	}, broken.addr, sound.addr)
	if host, set := stuckTo(t, p, "kroxy="+string(s.tokens[0][:])); host != "b" || set != "kroxy="+string(s.tokens[1][:]) {
		t.Errorf("host %q, cookie %q", host, set)
	}
}
