package config

import (
	"slices"
	"strings"
	"unicode"
)

// noSafety is appended to problems with a key that looks like a security setting,
// which are errors instead of warnings.
const noSafety = ", and looks like a security setting"

// looksSecure reports whether a key is, or was meant to be, a setting about access
// or secrecy. A file with such a key that nothing reads promises
// security that does not exist.
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

// isAuthor reports whether a word is about authors, not authorization.
func isAuthor(word string) bool {
	return strings.HasPrefix(word, "author") && !strings.HasPrefix(word, "authori")
}

// words splits a key into its words, in lower case: tls_cert, tls-cert and tlsCert
// have two.
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

// meansSecure reports whether an unknown key looks like a security setting, or
// would without a typo in one of its words.
func meansSecure(key string) bool {
	return !isComment(key) && (looksSecure(key) || slices.ContainsFunc(words(key), isTypo))
}

// isTypo reports whether a word is a misspelt "tls", "ssl" or "verify". Words of
// three letters may differ only in order: with another letter they
// are other words, such as tos, tps, ssh and sql, and existing files may have any.
func isTypo(word string) bool {
	return slices.Contains([]string{"tsl", "lts", "sls"}, word) || distance(word, "verify") == 1
}

// holdsHeaders reports whether a key is, or was meant to be, for header fields: its
// value may have any keys, which are not settings.
func holdsHeaders(key string) bool {
	return strings.Contains(fold(key), "header") ||
		slices.ContainsFunc(words(key), func(word string) bool { return distance(word, "headers") <= 2 })
}

// isComment reports whether a key has a prefix that people use to disable it,
// because JSON has no comments.
func isComment(key string) bool { return key != "" && strings.IndexByte("_/#$", key[0]) >= 0 }

// unread reports the keys that look like security settings, at any depth, in n, the
// value of a key that nothing reads.
func (d *decoder) unread(n *node, path lazyPath) {
	for i := range n.members {
		m := &n.members[i]
		at := append(path, step{m.key, isMember})
		switch {
		case isComment(m.key) || holdsHeaders(m.key) && !looksSecure(m.key):
		case looksSecure(m.key):
			d.failAt(m.pos, at.String(), quote(m.key)+" has no effect, because nothing reads the object that contains it"+noSafety, "remove it, or write it where it belongs")
		default:
			d.unread(&m.value, at)
		}
	}
	for i := range n.elements {
		d.unread(&n.elements[i], append(path, step{index: i}))
	}
}
