package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/goccy/go-json"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
	"kroxy-ev/cmd/kroxy-ev/internal/readout"
	"kroxy-ev/cmd/kroxy-ev/internal/service"
)

// runStatus prints the status of the running kroxy-ev.
func runStatus(r *request) error {
	text, by, err := service.Status(r.config)
	if err != nil {
		return err
	}
	if by != "" {
		fmt.Fprintf(r.stderr, "kroxy-ev: warning: this is what %s says\n", by)
	}
	var out bytes.Buffer
	if r.json {
		err = json.Indent(&out, escaped(text), "", "  ")
		out.WriteByte('\n')
	} else {
		var s *admin.Status
		if s, err = decodeStatus(text); err == nil {
			err = readout.Text(&out, s, time.Now())
		}
	}
	if err == nil {
		_, err = r.stdout.Write(out.Bytes())
	}
	return err
}

// escaped returns the JSON text with escapes for characters that could control a terminal.
func escaped(text []byte) []byte {
	var out []byte
	for _, r := range string(text) {
		if strconv.IsPrint(r) || r == '\n' {
			out = utf8.AppendRune(out, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			out = fmt.Appendf(out, `\u%04x`, unit)
		}
	}
	return out
}

// decodeStatus parses a status that a process has sent, and removes characters that could control a terminal.
func decodeStatus(text []byte) (*admin.Status, error) {
	var s *admin.Status
	err := json.Unmarshal(text, &s)
	if err == nil && s == nil {
		err = errors.New("there is nothing in it")
	}
	if err != nil {
		return nil, fmt.Errorf("kroxy-ev: reading the status that the running kroxy-ev sent: %w", err)
	}
	readout.Clean(s)
	return s, nil
}
