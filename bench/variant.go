package bench

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// variant is another kroxy-ev that takes part beside the one of this tree, so that one run can compare a change with what was before.
type variant struct {
	name  string
	env   []string // added to this process's environment
	build []string // flags for "go build"
	tree  string   // directory of the source tree; "": this one
}

// variants is a flag that may be given several times.
type variants []variant

func (v *variants) String() string {
	var names []string
	for _, one := range *v {
		names = append(names, one.name)
	}
	return strings.Join(names, ", ")
}

// Set parses NAME and, in any order, NAME=VALUE pairs for the program's environment, flags for "go build", and the directory of another source
// tree,
// which must contain a "/".
func (v *variants) Set(s string) error {
	words := strings.Fields(s)
	if len(words) == 0 {
		return fmt.Errorf("a variant needs a name")
	}
	one := variant{name: words[0]}
	if one.name == subject || slices.ContainsFunc(*v, func(o variant) bool { return o.name == one.name }) {
		return fmt.Errorf("%s takes part already", one.name)
	}
	for _, w := range words[1:] {
		switch {
		case strings.HasPrefix(w, "-"):
			one.build = append(one.build, w)
		case strings.Contains(w, "="):
			one.env = append(one.env, w)
		case strings.Contains(w, "/"):
			one.tree = w
		default:
			return fmt.Errorf("%q is neither NAME=VALUE nor a flag of go build nor a directory", w)
		}
	}
	*v = append(*v, one)
	return nil
}

// addVariants builds the variants and adds them to the contestants wherever the subject takes part.
func (h *harness) addVariants(list variants) error {
	for _, v := range list {
		program := filepath.Join(h.dir, "variant-"+v.name)
		if err := buildKroxy(program, v.tree, v.build); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
		for _, p := range slices.Clone(h.peers) {
			if p.name == subject {
				p.name, p.argv, p.env = v.name, kroxyArgv(program), v.env
				h.peers = append(h.peers, p)
			}
		}
	}
	return nil
}
