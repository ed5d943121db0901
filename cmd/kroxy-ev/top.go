package main

import (
	"errors"
	"os"

	"github.com/charmbracelet/x/term"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
	"kroxy-ev/cmd/kroxy-ev/internal/service"
	"kroxy-ev/cmd/kroxy-ev/internal/top"
)

// runTop shows the status of the running kroxy-ev live.
func runTop(r *request) error {
	if !term.IsTerminal(os.Stdin.Fd()) || !term.IsTerminal(os.Stdout.Fd()) {
		return errors.New("kroxy-ev: top needs a terminal for its input and its output; \"kroxy-ev status\" prints the same anywhere")
	}
	ask := func() (*admin.Status, error) {
		text, _, err := service.Status(r.config)
		if err != nil {
			return nil, err
		}
		return decodeStatus(text)
	}
	return top.Run(ask, r.interval, os.Stdin, os.Stdout)
}
