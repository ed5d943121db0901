// Command kroxy-ev is a reverse proxy for Linux on an epoll event loop.
//
// This package parses the command line and prints the outcome. Package service does the work; the hosts and the live figures of the demo
// are in this package.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"kroxy-ev/cmd/kroxy-ev/internal/service"
	"kroxy-ev/config"
	"kroxy-ev/engine/supervise"
)

// version is set by the build (-ldflags "-X main.version=..."); if it is empty, the version comes from the build's metadata.
var version = ""

func main() {
	service.SurviveClosedPipes()
	service.Version = versionString()
	if service.IsInit() {
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

// run is main with its arguments and outputs passed in; it returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	w, err := supervise.Inherit()
	if w != nil {
		err = service.ServeWorker(w, stderr)
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
		case "help":
			return help(args[1:], stdout, stderr)
		}
		if c := commandNamed(args[0]); c != nil {
			return c.main(args[1:], stdout, stderr)
		}
	}
	f, err := parseFlags(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return service.ExitOK
	case err != nil:
		fmt.Fprintf(stderr, "kroxy-ev: %v\nTry \"kroxy-ev --help\".\n", err)
		return service.ExitError
	case f.version:
		fmt.Fprintln(stdout, "kroxy-ev", versionString())
		return service.ExitOK
	}

	if f.multiprocess && !f.test {
		return status(service.ServeMaster(f.config, predecessor, stderr), stderr)
	}
	if f.test {
		return status(test(f, stdout, stderr), stderr)
	}
	cfg, problems, err := service.Load(f.config)
	warn(problems, stderr)
	if err != nil {
		return status(err, stderr)
	}
	return status(service.Serve(f.config, cfg, problems, stderr), stderr)
}

// status prints an error that ends the process, and returns the exit status.
func status(err error, stderr io.Writer) int {
	if err == nil {
		return service.ExitOK
	}
	fmt.Fprintf(stderr, "%v\n", err)
	return service.ExitError
}

// printSchema prints the JSON Schema of configurations.
func printSchema(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		fmt.Fprintf(stderr, "kroxy-ev: schema takes no arguments, and there is %q\nTry \"kroxy-ev --help\".\n", args[0])
		return service.ExitError
	}
	_, err := stdout.Write(config.Schema())
	return status(err, stderr)
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
		return f, unexpected(set.Arg(0))
	}
	if f.strict && !f.test {
		return f, errors.New("--strict works only with --test; use --test --strict")
	}
	if f.config == "" && !f.version {
		return f, errors.New("no configuration given; use --config FILE, or \"demo\" for a demonstration")
	}
	return f, nil
}

// unexpected returns the error for an argument that is not an option. The user may have meant a command.
func unexpected(argument string) error {
	err := fmt.Errorf("unexpected argument %q", argument)
	if commandNamed(argument) != nil {
		return fmt.Errorf("%w; a command comes first: kroxy-ev %s --config FILE", err, argument)
	}
	if guess := config.DidYouMean(argument, commandNames()); guess != "" {
		return fmt.Errorf("%w; %s", err, guess)
	}
	return err
}

// test checks the configuration that f names, including the files and addresses that the configuration refers to, for the kind of process
// that f asks for. It prints a line if everything is good. If f is strict, warnings are errors.
func test(f flags, stdout, stderr io.Writer) error {
	warnings, err := service.Check(f.config, f.multiprocess)
	if f.strict {
		err = config.AsError(warnings, err)
	} else {
		warn(warnings, stderr)
	}
	if err == nil {
		fmt.Fprintf(stdout, "kroxy-ev: %s is good\n", f.config)
	}
	return err
}

func warn(warnings []config.Problem, stderr io.Writer) {
	for _, w := range warnings {
		fmt.Fprintf(stderr, "kroxy-ev: warning: %s\n", w)
	}
}

// versionString returns the version to display.
func versionString() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
