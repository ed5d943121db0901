package service

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-json"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
	"kroxy-ev/config"
)

// hostArguments are the arguments of verbHost.
type hostArguments struct {
	Target string // GROUP/HOST
	admin.HostOrder
}

// setHost carries out an order about a host; its arguments are JSON.
func setHost(b admin.Backend, arguments []byte, by string) error {
	var a hostArguments
	if err := json.Unmarshal(arguments, &a); err != nil {
		return fmt.Errorf("reading the order's arguments: %w", err)
	}
	s, err := b.Status()
	if err != nil {
		return err
	}
	group, host, err := findHost(s.Groups, a.Target)
	if err != nil {
		return err
	}
	return b.SetHost(group, host, a.HostOrder, by)
}

// findHost resolves a target, GROUP/HOST, to the names of a group and a host. HOST is the host's address or name.
func findHost(groups []admin.Group, target string) (group, host string, err error) {
	if len(groups) == 0 {
		return "", "", errors.New("there are no groups with hosts")
	}
	var near *admin.Group // the group whose name begins the target
	for i := range groups {
		g := &groups[i]
		name, ok := strings.CutPrefix(target, g.Name+"/")
		if !ok {
			continue
		}
		near = g
		for _, is := range []func(*admin.Host) bool{
			func(h *admin.Host) bool { return h.Host == name },
			func(h *admin.Host) bool { return h.Name == name && name != "" },
		} {
			at := slices.IndexFunc(g.Hosts, func(h admin.Host) bool { return is(&h) })
			if at < 0 {
				continue
			}
			host := g.Hosts[at].Host
			if slices.ContainsFunc(g.Hosts, func(h admin.Host) bool { return is(&h) && h.Host != host }) {
				return "", "", fmt.Errorf("group %s has several hosts named %s; name it by its address: %s", show(g.Name), show(name), several(addresses(g)))
			}
			return g.Name, host, nil
		}
	}
	if near != nil {
		return "", "", noHost(near, strings.TrimPrefix(target, near.Name+"/"))
	}
	return "", "", noGroup(groups, target)
}

// noHost returns the error that a group has no such host, and lists its hosts.
func noHost(g *admin.Group, name string) error {
	all := addresses(g)
	guess := config.DidYouMean(name, all)
	if i := slices.IndexFunc(all, func(h string) bool { return name != "" && strings.HasPrefix(h, name+":") }); i >= 0 {
		guess = fmt.Sprintf("did you mean %s?", show(all[i])) // the port was left out
	}
	return nameError("group "+show(g.Name)+" has no host "+show(name), guess, "its hosts are", all)
}

// noGroup returns the error that target begins with no group's name.
func noGroup(groups []admin.Group, target string) error {
	names := make([]string, len(groups))
	for i := range groups {
		g := &groups[i]
		names[i] = g.Name
		if g.Name == target {
			hosts := addresses(g)
			for i := range hosts {
				hosts[i] = g.Name + "/" + hosts[i]
			}
			return fmt.Errorf("%s is a group; name one of its hosts: %s", show(target), several(hosts))
		}
	}
	for i := range groups {
		if g := &groups[i]; slices.Contains(addresses(g), target) {
			return fmt.Errorf("%s does not say which group; did you mean %s?", show(target), show(g.Name+"/"+target))
		}
	}
	name, _, _ := strings.Cut(target, "/")
	return nameError("there is no group "+show(name), config.DidYouMean(name, names), "the groups are", names)
}

// nameError joins the problem, a guess if there is one, and the valid names.
func nameError(what, guess, are string, all []string) error {
	separator := ";"
	if guess != "" {
		what, separator = what+"; "+guess, "" // guess ends in a question mark
	}
	return errors.New(what + separator + " " + are + " " + several(all))
}

// addresses returns the distinct addresses of a group's hosts.
func addresses(g *admin.Group) []string {
	var all []string
	seen := make(map[string]bool, len(g.Hosts))
	for i := range g.Hosts {
		if h := g.Hosts[i].Host; !seen[h] {
			seen[h] = true
			all = append(all, h)
		}
	}
	return all
}

// several lists the first few names.
func several(names []string) string {
	const few = 8
	list := make([]string, 0, few)
	for _, n := range names[:min(few, len(names))] {
		list = append(list, show(n))
	}
	text := strings.Join(list, ", ")
	if more := len(names) - few; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// show quotes a name and truncates a long one.
func show(name string) string { return fmt.Sprintf("%.*q", maxShown, name) }
