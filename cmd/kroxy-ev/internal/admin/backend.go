package admin

import (
	"context"
	"errors"
	"io"
)

// Backend is the program as it is seen and steered from here. All methods may be called from any goroutine, and at once.
type Backend interface {
	// Status returns what the program does now.
	Status() (*Status, error)
	// Config returns the configuration in force as JSON: with all defaults, without secrets.
	Config() ([]byte, error)
	// Reload has the program switch to the configuration as it is now, and waits until it has, or has failed to; or until ctx is done,
	// while the reload goes on. It returns ErrBusy if a reload or an upgrade is under way, and ErrStopping if the program ends.
	Reload(ctx context.Context) (*Outcome, error)
	// SetHost gives orders about a host, which hold until the next reload. Nil leaves things as they are. By is who gives them, for the
	// log. It returns an error that wraps ErrNoGroup or ErrNoHost if there is none of that name, or ErrWeight.
	SetHost(group, host string, o HostOrder, by string) error
	// Gather writes the metrics in the form that accept, a header field, asks for, and returns their media type.
	Gather(w io.Writer, accept string) (mediaType string, err error)
	// Ready returns nil if the program takes new clients and has a host for them, and otherwise why not.
	Ready() error
}

// HostOrder is what is to become of a host. Nil leaves things as they are.
type HostOrder struct {
	Drain  *bool `json:"drain"`  // it gets no new clients
	Weight *int  `json:"weight"` // from 0 to 1000
}

// Outcome is how a reload ended. It went well if Problems is empty.
type Outcome struct {
	Problems []Problem `json:"problems"`
	Warnings []string  `json:"warnings"`
	Changes  []string  `json:"changes"` // what became different, a line each
}

// Problem is one thing that is wrong. Line and Column are 0 where no file is to blame.
type Problem struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Path   string `json:"path"` // such as "http.routes[0].proxy_to"
	What   string `json:"message"`
	Remedy string `json:"remedy"`
}

// What a Backend's methods may fail with.
var (
	ErrBusy     = errors.New("a reload or an upgrade is under way")
	ErrStopping = errors.New("the program is stopping")
	ErrNoGroup  = errors.New("there is no such group")
	ErrNoHost   = errors.New("there is no such host")
	ErrWeight   = errors.New("a weight is a number from 0 to 1000")
)
