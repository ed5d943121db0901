package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
	"kroxy-ev/cmd/kroxy-ev/internal/service"
)

// command is a command that inspects or controls a running kroxy-ev.
type command struct {
	name      string
	arguments []string // the names of the arguments
	json      bool     // whether the command has --json
	interval  bool     // whether the command has --interval
	run       func(r *request) error
	usage     string
}

// request is one invocation of a command.
type request struct {
	command        string
	config         string
	arguments      []string
	json           bool
	interval       time.Duration
	stdout, stderr io.Writer
}

const findsIt = `
The command finds the process by FILE: give the same path as when the process was started, in the same container. Only root and
the user that kroxy-ev runs as may use it. The configuration does not need "admin".
`

const configOption = `
Options:
  -c, --config FILE   the configuration that the process serves
`

const targetHelp = `
GROUP is the name of a group in "servers". HOST is the address of one of its hosts, such as 127.0.0.1:9001 or unix:/run/app.sock, or its
"name". "kroxy-ev status" shows both.
`

var commands = []command{
	{name: "status", json: true, run: runStatus, usage: `kroxy-ev status prints the state of the running kroxy-ev.

Usage:
  kroxy-ev status --config FILE [--json]
` + findsIt + configOption + `      --json          print JSON, for programs: the same as /api/v1/status
`},
	{name: "top", interval: true, run: runTop, usage: `kroxy-ev top shows the state of the running kroxy-ev, live, in the terminal.

Usage:
  kroxy-ev top --config FILE [--interval DURATION]

Keys:
  q           quit
  tab, 1-4    hosts, groups, routes, servers
  s, S        sort by the next or the previous column
  r           reverse the order
  ↑ ↓ PgUp PgDn Home End   move; the line above the keys shows details of the selected row
` + findsIt + configOption + `      --interval DURATION   time between updates (default 1s)
`},
	{name: service.VerbReload, run: runOrder, usage: `kroxy-ev reload makes the running kroxy-ev read its configuration again. It waits for the outcome and prints the changes,
one per line. No connection is dropped. If the file has errors, nothing changes.

Usage:
  kroxy-ev reload --config FILE
` + findsIt + configOption},
	{name: service.VerbUpgrade, run: runOrder, usage: `kroxy-ev upgrade replaces the running kroxy-ev, which must have been started with --multiprocess, by the program now on disk, and
reads the configuration again. No connection is refused.

Usage:
  kroxy-ev upgrade --config FILE
` + findsIt + configOption},
	{name: "drain", arguments: []string{"GROUP/HOST"}, run: runHost, usage: `kroxy-ev drain sends no new clients to a host until the next reload. Requests and sessions that have begun continue.
To drain a host for longer, write "drain": true in the file.

Usage:
  kroxy-ev drain GROUP/HOST --config FILE
` + targetHelp + findsIt + configOption},
	{name: "undrain", arguments: []string{"GROUP/HOST"}, run: runHost, usage: `kroxy-ev undrain sends clients to a host again, until the next reload, whatever the file says.

Usage:
  kroxy-ev undrain GROUP/HOST --config FILE
` + targetHelp + findsIt + configOption},
	{name: "weight", arguments: []string{"GROUP/HOST", "N"}, run: runHost, usage: `kroxy-ev weight changes a host's weight until the next reload. The host gets N, from 0 to 1000, of the sum of its group's weights as its
share of the clients; with 0 it gets none.

Usage:
  kroxy-ev weight GROUP/HOST N --config FILE
` + targetHelp + findsIt + configOption},
}

// commandNamed returns the command of that name, or nil.
func commandNamed(name string) *command {
	for i := range commands {
		if commands[i].name == name {
			return &commands[i]
		}
	}
	return nil
}

// commandNames returns the names of all commands, including those that need no running process.
func commandNames() []string {
	names := make([]string, len(commands))
	for i := range commands {
		names[i] = commands[i].name
	}
	return append(names, "demo", "schema", "help")
}

// main parses the command's arguments, runs the command, prints its error, and returns the exit status.
func (c *command) main(args []string, stdout, stderr io.Writer) int {
	r := request{command: c.name, stdout: stdout, stderr: stderr}
	err := c.parse(args, &r)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, c.usage)
		return service.ExitOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "kroxy-ev: %s: %v\nTry \"kroxy-ev help %s\".\n", c.name, err, c.name)
		return service.ExitError
	}
	if err := c.run(&r); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintln(stderr, service.Printable(line))
		}
		return service.ExitError
	}
	return service.ExitOK
}

// parse parses the command's arguments into r. Options may stand before and after other arguments.
func (c *command) parse(args []string, r *request) error {
	set := flag.NewFlagSet(c.name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, name := range []string{"c", "config"} {
		set.StringVar(&r.config, name, "", "")
	}
	if c.json {
		set.BoolVar(&r.json, "json", false, "")
	}
	if c.interval {
		set.DurationVar(&r.interval, "interval", time.Second, "")
	}
	for {
		if err := set.Parse(args); err != nil {
			return err
		}
		if set.NArg() == 0 {
			break
		}
		r.arguments, args = append(r.arguments, set.Arg(0)), set.Args()[1:]
	}
	switch {
	case len(r.arguments) > len(c.arguments):
		return fmt.Errorf("unexpected argument %q", r.arguments[len(c.arguments)])
	case len(r.arguments) < len(c.arguments):
		return fmt.Errorf("%s is missing; use: kroxy-ev %s %s --config FILE", c.arguments[len(r.arguments)], c.name, strings.Join(c.arguments, " "))
	case r.config == "":
		return errors.New("no configuration given; use --config FILE with the file that the running kroxy-ev serves")
	case c.interval && (r.interval < 100*time.Millisecond || r.interval > time.Hour):
		return fmt.Errorf("--interval is %v; it can be 100ms to 1h", r.interval)
	}
	return nil
}

// runOrder sends an order without arguments and prints its outcome.
func runOrder(r *request) error {
	a, by, err := service.SendOrder(r.command, r.config)
	for _, w := range a.Warnings {
		fmt.Fprintf(r.stderr, "kroxy-ev: warning: %s\n", service.Printable(w))
	}
	if err == nil && a.Error != "" {
		err = errors.New(a.Error)
	}
	if err != nil {
		return err
	}
	for _, change := range a.Changes {
		fmt.Fprintln(r.stdout, service.Printable(change))
	}
	if a.Changes != nil && len(a.Changes) == 0 {
		fmt.Fprintln(r.stdout, "nothing has changed")
	}
	fmt.Fprintf(r.stdout, "kroxy-ev: %s done%s\n", r.command, byWhom(by))
	return nil
}

// byWhom names the process that answered, if it runs as a user that not everybody trusts.
func byWhom(by string) string {
	if by == "" {
		return ""
	}
	return " by " + by
}

// runHost sends an order about a host.
func runHost(r *request) error {
	var o admin.HostOrder
	var done string
	switch drain := r.command == "drain"; r.command {
	case "weight":
		n, err := strconv.Atoi(r.arguments[1])
		if err != nil || n < 0 || n > 1000 {
			return fmt.Errorf("kroxy-ev: weight: %q is not a weight; use a number from 0 to 1000", r.arguments[1])
		}
		o.Weight, done = &n, fmt.Sprintf("has weight %d", n)
	default:
		o.Drain, done = &drain, map[bool]string{true: "gets no new clients", false: "gets clients again"}[drain]
	}
	by, err := service.SetHost(r.config, r.arguments[0], o)
	if err != nil {
		return err
	}
	fmt.Fprintf(r.stdout, "kroxy-ev: %s %s, until the next reload%s\n", r.arguments[0], done, byWhom(by))
	return nil
}
