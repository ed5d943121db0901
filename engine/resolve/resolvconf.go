package resolve

import (
	"net/netip"
	"os"
	"slices"
	"strings"
)

// resolvConf is the file with this machine's name servers and search list (resolv.conf(5)).
const resolvConf = "/etc/resolv.conf"

// system returns the servers and search list of this machine's resolv.conf; a server on this machine if it names none.
func system() (servers []netip.AddrPort, search []string) {
	text, _ := os.ReadFile(resolvConf) // an unreadable file counts as empty
	return readResolvConf(string(text))
}

func readResolvConf(text string) (servers []netip.AddrPort, search []string) {
	for line := range strings.Lines(text) {
		if i := strings.IndexAny(line, "#;"); i >= 0 {
			line = line[:i]
		}
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			if addr, err := netip.ParseAddr(words[1]); err == nil {
				servers = append(servers, netip.AddrPortFrom(addr, 53))
			}
		case "domain":
			search = words[1:2]
		case "search":
			search = slices.DeleteFunc(words[1:], func(w string) bool { return w == "." })
		}
	}
	if len(servers) == 0 {
		servers = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")}
	}
	return servers, search
}
