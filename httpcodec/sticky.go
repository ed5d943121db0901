package httpcodec

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strconv"

	"kroxy-ev/config"
	"kroxy-ev/httpcodec/route"
)

// Sticky keeps a client with the host of a group that it was given first, by a cookie that names the host. It is immutable and shared
// by all loops.
type Sticky struct {
	name   string
	tokens []token  // what the cookie says of each host
	plain  [][]byte // the value of Set-Cookie for each host,
	secure [][]byte // and for clients who come by TLS
}

// token says which host it is to whoever knows the secret, and nothing to anybody else: nobody can name a host that no cookie was
// given out for, or find out where hosts are.
type token [22]byte

// tokenBytes of an HMAC are 128 bits, as text base64.RawURLEncoding.
const tokenBytes = 16

// NewSticky makes a Sticky of c for a group whose hosts have these ids, which are the same in all processes and configurations, as is
// the secret.
func NewSticky(c *config.Sticky, secret []byte, ids []string) *Sticky {
	s := &Sticky{name: c.Cookie}
	for _, id := range ids {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(id))
		var t token
		base64.RawURLEncoding.Encode(t[:], mac.Sum(nil)[:tokenBytes])
		s.tokens = append(s.tokens, t)
		value := []byte(c.Cookie + "=" + string(t[:]) + "; Path=" + c.Path)
		if c.Domain != "" {
			value = append(value, "; Domain="+c.Domain...)
		}
		if c.TTL > 0 {
			value = append(value, "; Max-Age="...)
			value = strconv.AppendInt(value, max(int64(c.TTL.Seconds()), 1), 10)
		}
		value = append(value, "; HttpOnly; SameSite="+c.SameSite...)
		s.plain = append(s.plain, value)
		s.secure = append(s.secure, append(value[:len(value):len(value)], "; Secure"...))
	}
	return s
}

// host is the host that the cookies of a request name, or -1. What is no cookie of ours names none.
func (s *Sticky) host(cookies *route.View) int {
	for name, text := range cookies.Cookies().Cookies() {
		if string(name) == s.name {
			if host := s.named(text); host >= 0 {
				return host
			}
		}
	}
	return -1
}

// named is the host of that token, or -1. How long it takes says nothing of how much of a token is right.
func (s *Sticky) named(text []byte) int {
	host := -1
	for i := range s.tokens {
		if subtle.ConstantTimeCompare(s.tokens[i][:], text) == 1 {
			host = i
		}
	}
	return host
}

// cookie is the value of the Set-Cookie that keeps a client, who comes by TLS or not, with a host.
func (s *Sticky) cookie(host int, secure bool) []byte {
	if secure {
		return s.secure[host]
	}
	return s.plain[host]
}
