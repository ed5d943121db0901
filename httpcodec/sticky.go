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

// Sticky keeps each client with the host of a group that first served it, by a cookie that names the host. It is immutable and
// shared by all loops.
type Sticky struct {
	name   string
	tokens []token  // the cookie's value for each host
	plain  [][]byte // the value of Set-Cookie for each host,
	secure [][]byte // and the same for clients that use TLS
}

// token identifies a host to those who know the secret, and tells nothing to others. Nobody can name a host without having been
// given its cookie, nor learn where hosts are.
type token [22]byte

// tokenBytes is how many bytes of the HMAC are used: 128 bits, encoded as base64.RawURLEncoding.
const tokenBytes = 16

// NewSticky makes a Sticky of c for a group whose hosts have the given ids. The ids and the secret must be the same in all
// processes and configurations.
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

// host returns the host that the request's cookies name, or -1. Invalid cookies are ignored.
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

// named returns the host with the given token, or -1. Its running time does not depend on how much of a token is right.
func (s *Sticky) named(text []byte) int {
	host := -1
	for i := range s.tokens {
		if subtle.ConstantTimeCompare(s.tokens[i][:], text) == 1 {
			host = i
		}
	}
	return host
}

// cookie returns the Set-Cookie value that keeps a client with a host. Secure says whether the client uses TLS.
func (s *Sticky) cookie(host int, secure bool) []byte {
	if secure {
		return s.secure[host]
	}
	return s.plain[host]
}
