package admin

import (
	"context"
	"errors"
	"io"
)

// Backend is the program as seen from this package. All methods may be called concurrently from any goroutine.
type Backend interface {
	// Status returns what the program does now.
	Status() (*Status, error)
	// Config returns the configuration in force as JSON, with all defaults and without secrets.
	Config() ([]byte, error)
	// Reload makes the program switch to the current content of its configuration file. It waits for the outcome, or until ctx is done, in
	// which case the reload continues. It returns ErrBusy if a reload or an upgrade is under way, and ErrStopping if the program is stopping.
	Reload(ctx context.Context) (*Outcome, error)
	// SetHost gives an order about a host, which holds until the next reload. By names the giver, for the log. The error wraps ErrNoGroup or
	// ErrNoHost if there is no group or host with that name, or ErrWeight.
	SetHost(group, host string, o HostOrder, by string) error
	// Gather writes the metrics in the format that accept, a header field value, asks for, and returns their media type.
	Gather(w io.Writer, accept string) (mediaType string, err error)
	// Ready returns nil if the program accepts new clients and has a host for them, otherwise the reason.
	Ready() error
}

// HostOrder is an order about a host. A nil field leaves things as they are.
type HostOrder struct {
	Drain  *bool `json:"drain"`  // the host gets no new clients
	Weight *int  `json:"weight"` // from 0 to 1000
}

// Outcome is the result of a reload. The reload succeeded if Problems is empty.
type Outcome struct {
	Problems []Problem `json:"problems"`
	Warnings []string  `json:"warnings"`
	Changes  []string  `json:"changes"` // one change per line
}

// Problem is one thing that is wrong. Line and Column are 0 if the problem has no place in a file.
type Problem struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Path   string `json:"path"` // such as "http.routes[0].proxy_to"
	What   string `json:"message"`
	Remedy string `json:"remedy"`
}

// Errors of a Backend's methods.
var (
	ErrBusy     = errors.New("a reload or an upgrade is under way")
	ErrStopping = errors.New("the program is stopping")
	ErrNoGroup  = errors.New("there is no such group")
	ErrNoHost   = errors.New("there is no such host")
	ErrWeight   = errors.New("a weight is a number from 0 to 1000")
)
