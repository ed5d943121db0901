package main

import (
	"fmt"
	"io"
	"strings"

	"kroxy-ev/cmd/kroxy-ev/internal/service"
)

const usage = `kroxy-ev is a reverse proxy on an event loop.

Usage:
  kroxy-ev --config FILE        run the proxy with the configuration in FILE
  kroxy-ev --config FILE --test check FILE and exit

  kroxy-ev COMMAND --config FILE ...   control the running kroxy-ev that serves FILE:
    status                      print its state: servers, routes, hosts, workers, certificates
    top                         show the same, live, in the terminal
    reload                      make it read FILE again, wait for the outcome, and print the changes
    drain GROUP/HOST            send no new clients to a host
    undrain GROUP/HOST          send clients to the host again
    weight GROUP/HOST N         change a host's weight
    upgrade                     replace the running program by the binary now on disk, and reload (with --multiprocess)
  kroxy-ev help COMMAND         print help for a command

  kroxy-ev schema               print the JSON Schema of configurations, for editors
  kroxy-ev demo                 run a demonstration: hosts, a proxy in front of them, live figures
  kroxy-ev --version

Options:
  -c, --config FILE   the configuration file (docs/configuration.md lists the keys)
  -m, --multiprocess  run a master and workers_num worker processes
  -t, --test          check the configuration and exit: status 0 if it is valid
      --strict        with --test: treat warnings as errors
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
		fmt.Fprintf(stderr, "kroxy-ev: help takes one command; unexpected argument %q\n%s", args[1], tryHelp)
		return service.ExitError
	case args[0] == "demo":
		text = demoUsage
	case args[0] == "help" || args[0] == "schema":
		text = usage
	default:
		if c = commandNamed(args[0]); c == nil {
			fmt.Fprintf(stderr, "kroxy-ev: no help for %q; the commands are %s\n", args[0], strings.Join(commandNames(), ", "))
			return service.ExitError
		}
		text = c.usage
	}
	fmt.Fprint(stdout, text)
	return service.ExitOK
}
