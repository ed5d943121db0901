package bench

import (
	"slices"
	"strings"
)

// configuration is a file that a program was run with.
type configuration struct {
	Mode    mode   // of the contestant; "": of a host
	Name    string // of the contestant
	File    string // in peers/, without what was filled in
	Command string // that the program was run by, with what was added to its environment
	Text    string
}

// keepConfiguration keeps the first one of each contestant, mode and file, for the report: later ones differ in ports and paths, and
// in what a row is about.
func (h *harness) keepConfiguration(p peer, file string, cmd command, text []byte) {
	if !slices.ContainsFunc(h.configurations, func(k configuration) bool { return k.Mode == p.mode && k.Name == p.name && k.File == file }) {
		run := strings.Join(slices.Concat(cmd.env, cmd.argv), " ")
		h.configurations = append(h.configurations, configuration{p.mode, p.name, file, run, string(text)})
	}
}
