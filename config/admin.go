package config

import (
	"net/netip"
	"slices"
	"strings"
)

// Admin is an object of "admin": where the admin endpoint listens, and what its
// clients may do.
type Admin struct {
	Path        string   // JSON path
	Listen      []Listen // at least one; each has an address or is a Unix socket
	TokenFile   string   // path of a file with the token that requests must have; "" for none
	MetricsOnly bool     // serve only metrics and health
}

const (
	adminListenExample = `[{ "port": 9900 }]`
	adminExample       = `{ "listen": ` + adminListenExample + ` }`
)

// admin decodes "admin", which may be at the top of the file or in one of its servers.
func (o object) admin(servers []object) (list []Admin) {
	var first *member
	var where string
	for _, in := range append([]object{o}, servers...) {
		m := in.node.get("admin")
		if m == nil || m.value.kind == kindNull || m.value.kind == kindBool && string(m.value.raw) == "false" {
			continue
		}
		path := keyPath(in.path, "admin")
		if in.place.level == ofFile {
			path = "admin"
		}
		before := o.errors.count()
		here := o.admins(&m.value, path)
		switch {
		case first == nil:
			first, where, list = m, path, here
		case o.errors.count() == before && !slices.EqualFunc(list, here, Admin.same):
			o.fail(&m.value, path, "it differs from "+where+" in "+o.input.place(first.value.pos)+`: a process has one "admin"`, "remove one of the two; it may be an array of objects")
		}
	}
	return list
}

// same reports whether a and b are equal, apart from their places in the file.
func (a Admin) same(b Admin) bool {
	return a.TokenFile == b.TokenFile && a.MetricsOnly == b.MetricsOnly && slices.EqualFunc(a.Listen, b.Listen, func(x, y Listen) bool {
		return x.Key() == y.Key() && x.UnixMode == y.UnixMode
	})
}

// admins decodes the value of "admin".
func (o object) admins(n *node, path string) (list []Admin) {
	if n.kind != kindArray {
		return o.addAdmin(nil, n, path)
	}
	if len(n.elements) == 0 {
		o.fail(n, path, "there is nothing in it", "write "+adminExample+", or remove it")
	}
	for i := range n.elements {
		list = o.addAdmin(list, &n.elements[i], indexPath(path, i))
	}
	return list
}

// addAdmin decodes an object of "admin".
func (o object) addAdmin(list []Admin, n *node, path string) []Admin {
	example := adminExample
	if entry := listenExample(n, ""); n.kind != kindObject && entry != "" {
		example = `{ "listen": ` + entry + ` }`
	} else if n.kind == kindString && fold(n.text()) == "off" {
		example = "false, or remove it"
	}
	in, ok := o.object(n, path, ofAdmin, example)
	if !ok {
		return list
	}
	in.unknown()
	a := Admin{Path: path}
	in.fill(ofAdmin, &target{admin: &a})
	l, at := in.child("listen")
	switch {
	case l == nil:
		o.fail(n, keyPath(path, "listen"), "it is missing: the endpoint would listen nowhere", `add "listen": `+adminListenExample)
		return list
	case l.kind == kindArray && len(l.elements) == 0:
		o.fail(l, at, "there is nothing in it", "write "+adminListenExample)
		return list
	case l.kind != kindArray:
		o.fail(l, at, "must be an array, not "+l.describe(), "write "+listenExample(l, adminListenExample))
		return list
	}
	for i := range l.elements {
		e := &l.elements[i]
		if in, ok := o.object(e, indexPath(at, i), ofAdminListen, strings.Trim(listenExample(e, adminListenExample), "[]")); ok {
			a.Listen = append(a.Listen, in.adminListen())
		}
	}
	if open := a.beyond(); open != "" && a.TokenFile == "" && !a.MetricsOnly {
		o.warn(l.pos, at, open+" is beyond this machine, and anyone who can reach it may control the program", `add "token_file", or "metrics_only": true, or listen on 127.0.0.1 or a Unix-domain socket`)
	}
	if t, at := in.child("token_file"); t != nil && t.kind == kindString && a.TokenFile == "" {
		o.fail(t, at, "it is empty", "name a file that has a token, or remove the key")
	}
	return append(list, a)
}

// adminListen decodes an entry of "listen" in "admin".
func (o object) adminListen() Listen {
	o.unknown()
	l := Listen{Path: o.path}
	n, path := o.child("unix")
	if n != nil {
		l.Unix, l.UnixMode = o.unixPath(n, path), o.socketMode()
		o.besideUnix("address", "port")
		return l
	}
	o.tcp(&l)
	if n, _ := o.child("address"); n == nil || !isAddress(strings.Trim(n.literal(), "[]")) {
		l.Address = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return l
}

// beyond returns a listener of a that can be reached from other machines; "" if
// there is none.
func (a *Admin) beyond() string {
	for _, l := range a.Listen {
		if l.Unix == "" && !l.Address.IsLoopback() {
			return l.String()
		}
	}
	return ""
}
