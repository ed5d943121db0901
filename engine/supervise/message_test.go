package supervise

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestMessage(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]message{
		"plain":    {kind: kindCommit, id: 7},
		"value":    {kind: kindDrain, value: -1},
		"text":     {kind: kindPrepared, id: 1<<32 - 1, value: 1, text: "port 80: address already in use"},
		"no limit": {kind: kindFailed, text: strings.Repeat("x", maxText)},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := decode(m.encode())
			if !ok || got.kind != m.kind || got.id != m.id || got.value != m.value || got.text != m.text {
				t.Errorf("decode = %+v, %v, want %+v", got, ok, m)
			}
		})
	}
}

// A long text is cut between two characters.
func TestLongText(t *testing.T) {
	t.Parallel()
	m := message{kind: kindFailed, text: "x" + strings.Repeat("é", maxText)}
	got, ok := decode(m.encode())
	if !ok || len(got.text) != maxText-1 || !utf8.ValidString(got.text) {
		t.Errorf("decode = %v, %d bytes, want %d", ok, len(got.text), maxText-1)
	}
}

// FuzzDecode checks that valid messages are encoded as they were, and that nothing panics.
func FuzzDecode(f *testing.F) {
	for _, m := range []message{{kind: kindFiles, id: 3}, {kind: kindPrepared, id: 1, value: 1, text: "no"}, {kind: kindServing}} {
		f.Add(m.encode())
	}
	f.Add([]byte{})
	f.Add(make([]byte, headerSize))
	f.Add(bytes.Repeat([]byte{1}, headerSize))
	f.Fuzz(func(t *testing.T, p []byte) {
		m, ok := decode(p)
		if !ok {
			return
		}
		if got := m.encode(); !bytes.Equal(got, p) {
			t.Errorf("%x was decoded and is encoded as %x", p, got)
		}
	})
}
