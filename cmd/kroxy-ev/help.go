package main

import (
	"fmt"
	"io"
	"strings"

	"kroxy-ev/cmd/kroxy-ev/internal/service"
)

const usage = `kroxy-ev is a reverse proxy on an event loop.

Usage:
  kroxy-ev --config FILE        serve what FILE says
  kroxy-ev --config FILE --test check FILE and exit

  kroxy-ev COMMAND --config FILE ...   see and steer the running kroxy-ev that serves FILE:
    status                      print what it does: servers, routes, hosts with their state, workers, certificates
    top                         the same live, in the terminal
    reload                      have it read FILE again, wait for the outcome, and print what has changed
    drain GROUP/HOST            give a host no new clients
    undrain GROUP/HOST          give it clients again
    weight GROUP/HOST N         give it another share of its group's clients
    upgrade                     reload, and go over to the program's file as it is now (with --multiprocess)
  kroxy-ev help COMMAND         more about a command

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

// tryHelp tells the user where to find help.
const tryHelp = "Try \"kroxy-ev --help\".\n"

// help prints the help text of a command.
func help(args []string, stdout, stderr io.Writer) int {
	var text string
	switch c := (*command)(nil); {
	case len(args) == 0:
		text = usage
	case len(args) > 1:
		fmt.Fprintf(stderr, "kroxy-ev: help is about one command, and there is %q too\n%s", args[1], tryHelp)
		return service.ExitError
	case args[0] == "demo":
		text = demoUsage
	case args[0] == "help" || args[0] == "schema":
		text = usage
	default:
		if c = commandNamed(args[0]); c == nil {
			fmt.Fprintf(stderr, "kroxy-ev: there is no help about %q; the commands are %s\n", args[0], strings.Join(commandNames(), ", "))
			return service.ExitError
		}
		text = c.usage
	}
	fmt.Fprint(stdout, text)
	return service.ExitOK
}
