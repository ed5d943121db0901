package bench

import (
	"slices"
	"strings"
)

// configuration is a file that a program was run with.
type configuration struct {
	Mode    mode   // of the contestant; "": of a host
	Name    string // of the contestant
	File    string // in peers/, as a template
	Command string // that ran the program, with additions to the environment
	Text    string
}

// keepConfiguration keeps the first configuration of each contestant, mode and file for the report: later ones differ in ports, paths and the
// subject of the row.
func (h *harness) keepConfiguration(p peer, file string, cmd command, text []byte) {
	if !slices.ContainsFunc(h.configurations, func(k configuration) bool { return k.Mode == p.mode && k.Name == p.name && k.File == file }) {
		run := strings.Join(slices.Concat(cmd.env, cmd.argv), " ")
		h.configurations = append(h.configurations, configuration{p.mode, p.name, file, run, string(text)})
	}
}
