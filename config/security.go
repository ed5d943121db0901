package config

import (
	"slices"
	"strings"
	"unicode"
)

// noSafety is why a key that looks like security is an error where another
// would be a warning.
const noSafety = ", and looks like a security setting"

// looksSecure reports whether a key is, or was meant to be, about who may do
// what or what is kept secret. A file that has such a key, which nothing reads,
// promises a safety that is not there.
func looksSecure(key string) bool {
	folded := fold(key)
	for _, part := range []string{"verify", "user", "proxytls", "proxyssl"} {
		if strings.Contains(folded, part) {
			return true
		}
	}
	return slices.ContainsFunc(words(key), func(word string) bool {
		for _, begin := range []string{"tls", "ssl", "mtls", "allow", "deny", "auth"} {
			if strings.HasPrefix(word, begin) {
				return !isAuthor(word)
			}
		}
		return false
	})
}

// isAuthor reports whether a word is of authors, not of authorization.
func isAuthor(word string) bool {
	return strings.HasPrefix(word, "author") && !strings.HasPrefix(word, "authori")
}

// words splits a key where one word ends and another begins, and returns them
// in lower case: tls_cert, tls-cert and tlsCert have two.
func words(key string) []string {
	var split strings.Builder
	last := ' '
	for _, r := range key {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			r = ' '
		case unicode.IsUpper(r) && !unicode.IsUpper(last):
			split.WriteByte(' ')
		}
		split.WriteRune(r)
		last = r
	}
	return strings.Fields(strings.ToLower(split.String()))
}

// meansSecure reports whether an unknown key looks like security, or would but for
// a slip of the pen in one of its words.
func meansSecure(key string) bool {
	return !isComment(key) && (looksSecure(key) || slices.ContainsFunc(words(key), isSlip))
}

// isSlip reports whether a word is a misspelt "tls", "ssl" or "verify". Of three
// letters only the order may differ: with another letter they are other words,
// such as tos, tps, ssh and sql, and existing files may have any.
func isSlip(word string) bool {
	return slices.Contains([]string{"tsl", "lts", "sls"}, word) || distance(word, "verify") == 1
}

// holdsHeaders reports whether a key is, or was meant to be, of header fields:
// any key may be in its value, and none is a setting.
func holdsHeaders(key string) bool {
	return strings.Contains(fold(key), "header") ||
		slices.ContainsFunc(words(key), func(word string) bool { return distance(word, "headers") <= 2 })
}

// isComment reports whether a key is one of those that people put before others
// to have them ignored: JSON has no comments.
func isComment(key string) bool { return key != "" && strings.IndexByte("_/#$", key[0]) >= 0 }

// unread reports the keys of n, the value of a key that nothing reads, which
// look like security, at any depth.
func (d *decoder) unread(n *node, path trail) {
	for i := range n.members {
		m := &n.members[i]
		at := append(path, step{m.key, isMember})
		switch {
		case isComment(m.key) || holdsHeaders(m.key) && !looksSecure(m.key):
		case looksSecure(m.key):
			d.failAt(m.pos, at.String(), quote(m.key)+" has no effect, because nothing reads what it is in"+noSafety, "remove it, or write it where it belongs")
		default:
			d.unread(&m.value, at)
		}
	}
	for i := range n.elements {
		d.unread(&n.elements[i], append(path, step{index: i}))
	}
}
