// Command kroxy-ev is a reverse proxy for Linux on an epoll event loop.
//
// This package parses the command line, turns the configuration into the other packages' options, and looks after the
// process: signals, limits, exit status. It serves nothing itself.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"kroxy-ev/config"
	"kroxy-ev/engine/supervise"
)

// version is set by the build (-ldflags "-X main.version=..."); without that it is taken from the build's metadata.
var version = ""

// Exit statuses.
const (
	exitOK    = 0
	exitError = 1
)

const usage = `kroxy-ev is a reverse proxy on an event loop.

Usage:
  kroxy-ev --config FILE        serve what FILE says
  kroxy-ev --config FILE --test check FILE and exit
  kroxy-ev reload --config FILE have the running kroxy-ev that serves FILE read it again, and wait for the outcome
  kroxy-ev upgrade --config FILE
                                the same, and go over to the program's file as it is now (with --multiprocess)
  kroxy-ev schema               print the JSON Schema of configurations, for editors
  kroxy-ev demo                 show it at work: hosts, a proxy before them, live figures
  kroxy-ev --version

Options:
  -c, --config FILE   the configuration (see docs/configuration.md for its keys)
  -m, --multiprocess  worker processes (workers_num of them) under a master
  -t, --test          check the configuration and exit: 0 if it is good
      --strict        with --test: warnings are errors
      --version       print the version and exit
  -h, --help          print this
`

func main() {
	surviveClosedPipes()
	if isInit() {
		supervise.ReapOrphans()
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// flags is the command line.
type flags struct {
	config       string
	multiprocess bool
	test         bool
	strict       bool
	version      bool
}

// run is main with its surroundings passed in; it returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	w, err := supervise.Inherit()
	if w != nil {
		err = serveWorker(w, stderr)
	}
	if w != nil || err != nil {
		return status(err, stderr)
	}
	predecessor, err := supervise.Inherited()
	if err != nil {
		return status(err, stderr)
	}
	if len(args) > 0 {
		switch args[0] {
		case "demo":
			return demo(args[1:], stdout, stderr)
		case "schema":
			return printSchema(args[1:], stdout, stderr)
		case verbReload, verbUpgrade:
			return command(args[0], args[1:], stdout, stderr)
		}
	}
	f, err := parseFlags(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "kroxy-ev: %v\nTry \"kroxy-ev --help\".\n", err)
		return exitError
	case f.version:
		fmt.Fprintln(stdout, "kroxy-ev", versionString())
		return exitOK
	}

	if f.multiprocess && !f.test {
		return status(serveMaster(f.config, predecessor, stderr), stderr)
	}
	if f.test {
		return status(test(f, stdout, stderr), stderr)
	}
	cfg, doubts, err := load(f.config, stderr)
	if err != nil {
		return status(err, stderr)
	}
	return status(serve(f.config, cfg, doubts, stderr), stderr)
}

// status tells of an error that ends the process.
func status(err error, stderr io.Writer) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "%v\n", err)
	return exitError
}

// printSchema prints the JSON Schema of configurations.
func printSchema(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		fmt.Fprintf(stderr, "kroxy-ev: schema takes no arguments, and there is %q\nTry \"kroxy-ev --help\".\n", args[0])
		return exitError
	}
	_, err := stdout.Write(config.Schema())
	return status(err, stderr)
}

// command gives the running kroxy-ev an order and tells its outcome.
func command(verb string, args []string, stdout, stderr io.Writer) int {
	f, err := parseFlags(args)
	if err == nil && (f.test || f.strict || f.version || f.multiprocess) {
		err = fmt.Errorf("%s takes --config FILE only", verb)
	}
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "kroxy-ev: %v\nTry \"kroxy-ev --help\".\n", err)
		return exitError
	}
	a, by, err := giveOrder(verb, f.config)
	for _, w := range a.Warnings {
		fmt.Fprintf(stderr, "kroxy-ev: warning: %s\n", printable(w))
	}
	if err == nil && a.Error != "" {
		err = errors.New(a.Error)
	}
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintln(stderr, printable(line))
		}
		return exitError
	}
	if by != "" {
		by = " by " + by
	}
	fmt.Fprintf(stdout, "kroxy-ev: %s done%s\n", verb, by)
	return exitOK
}

func parseFlags(args []string) (flags, error) {
	var f flags
	set := flag.NewFlagSet("kroxy-ev", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, name := range []string{"c", "config"} {
		set.StringVar(&f.config, name, "", "")
	}
	for _, name := range []string{"m", "multiprocess"} {
		set.BoolVar(&f.multiprocess, name, false, "")
	}
	for _, name := range []string{"t", "test"} {
		set.BoolVar(&f.test, name, false, "")
	}
	set.BoolVar(&f.strict, "strict", false, "")
	set.BoolVar(&f.version, "version", false, "")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	if set.NArg() > 0 {
		return f, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	if f.strict && !f.test {
		return f, errors.New("--strict makes errors of what --test warns of; say --test --strict")
	}
	if f.config == "" && !f.version {
		return f, errors.New("no configuration given; say --config FILE, or \"demo\" to see it at work")
	}
	return f, nil
}

// load reads the configuration and prints its warnings.
func load(path string, stderr io.Writer) (cfg *config.Config, warnings []config.Problem, err error) {
	cfg, warnings, err = readConfig(path)
	if err == nil {
		warnings = append(warnings, shortage(cfg, openFiles(), reactorCount(cfg))...)
	}
	warn(warnings, stderr)
	return cfg, warnings, err
}

func warn(warnings []config.Problem, stderr io.Writer) {
	for _, w := range warnings {
		fmt.Fprintf(stderr, "kroxy-ev: warning: %s\n", w)
	}
}

// versionString is the version for people.
func versionString() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
