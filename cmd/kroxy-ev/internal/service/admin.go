package service

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
)

// adminPorts are the ports of the admin endpoint, in the order of the file. As with ports, a change takes two phases: prepare, then commit
// or abort.
type adminPorts []*adminPort

// adminPort is a listening socket of the admin endpoint and the listener that answers there.
type adminPort struct {
	*port
	listener *admin.Listener // nil before the first commit
	rules    admin.Rules     // in force from the next commit on
	next     config.Listen   // in force from the next commit on
}

// prepare returns the ports that cfg asks for: those that ps has already, and new ones. Beside are the ports of servers. On an error
// everything is as before. Requests are not answered before commit.
func (ps adminPorts) prepare(cfg *config.Config, beside ports, closed *closedPorts, w *warnings) (adminPorts, error) {
	var next adminPorts
	for i := range cfg.Admin {
		a := &cfg.Admin[i]
		rules, problems, err := adminRules(cfg, a)
		for _, p := range problems {
			w.add(p.String())
		}
		for _, l := range a.Listen {
			if err != nil {
				break
			}
			one := ps.find(l.Key())
			if one == nil {
				one, err = ps.open(cfg, l, beside, closed)
			}
			if err == nil {
				one.rules, one.next = rules, l
				next = append(next, one)
			}
		}
		if err != nil {
			next.abort(ps)
			return nil, err
		}
	}
	return next, nil
}

// open opens a port that ps does not have.
func (ps adminPorts) open(cfg *config.Config, l config.Listen, beside ports, closed *closedPorts) (*adminPort, error) {
	ours := func(other *port) bool { return overlap(l, other.listen) }
	mine := func(other *adminPort) bool { return overlap(l, other.listen) }
	if !slices.ContainsFunc(beside, ours) && !slices.ContainsFunc(ps, mine) && !closed.overlap(l) {
		if err := endpoint(l).CheckFree(); err != nil {
			return nil, listenProblem(cfg, l, err)
		}
	}
	p, err := openPort(cfg, l, slots{n: 1})
	if err != nil {
		return nil, err
	}
	return &adminPort{port: p}, nil
}

func (ps adminPorts) find(key string) *adminPort {
	for _, one := range ps {
		if one.listen.Key() == key {
			return one
		}
	}
	return nil
}

// abort closes the ports of ps that are not in before.
func (ps adminPorts) abort(before adminPorts) {
	for _, one := range ps {
		if !slices.Contains(before, one) {
			one.remove()
		}
	}
}

// commit begins to answer at new ports, applies the new rules to all ports, and closes those ports of before that ps does not have.
func (ps adminPorts) commit(before adminPorts, b admin.Backend, closed *closedPorts, log *slog.Logger) error {
	for _, one := range before {
		if !slices.Contains(ps, one) {
			closed.add(one.listen)
			if one.listener != nil {
				one.listener.Retire() // the client that has asked for this change may be connected here
				one.listener = nil
			}
			one.remove()
		}
	}
	var errs []error
	for _, one := range ps {
		if one.listener != nil {
			if err := one.update(one.next); err != nil {
				log.Warn("kroxy-ev: a listener of admin keeps its old options", "listen", listenName(one.listen), "error", err)
			}
			one.listener.SetRules(one.rules)
			continue
		}
		errs = append(errs, one.serve(b, log))
	}
	return errors.Join(errs...)
}

// serve begins to answer.
func (p *adminPort) serve(b admin.Backend, log *slog.Logger) error {
	fd, err := unix.FcntlInt(uintptr(p.sockets[0]), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	f := os.NewFile(uintptr(fd), p.listen.Key())
	defer f.Close()
	socket, err := net.FileListener(f)
	if err != nil {
		return fmt.Errorf("kroxy-ev: listening on %s: %w", listenName(p.listen), err)
	}
	var address netip.Addr
	if p.listen.Unix == "" {
		address = listenAddr(p.listen).Addr()
	}
	p.listener = admin.NewListener(socket, address, proxy.AdminConnections, b, log)
	p.listener.SetRules(p.rules)
	p.listener.Start()
	return nil
}

// leave stops answering. The socket stays open.
func (p *adminPort) leave() {
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
}

// remove stops answering, closes the sockets, and removes the files of Unix sockets.
func (ps adminPorts) remove() {
	for _, one := range ps {
		one.leave()
		one.remove()
	}
}

// close stops answering and closes the sockets in this process only.
func (ps adminPorts) close() {
	for _, one := range ps {
		one.leave()
		one.close()
	}
}

// announce logs the addresses of the admin endpoint.
func (ps adminPorts) announce(log *slog.Logger) {
	if len(ps) == 0 {
		return
	}
	var all []string
	for _, one := range ps {
		all = append(all, listenPlace(one.listen))
	}
	log.Info("kroxy-ev: the admin endpoint answers", "listen", strings.Join(all, ", "))
}

// maxToken is the greatest size of a token file in bytes.
const maxToken = 4096

// adminRules returns the rules of a, with the token that its file has now.
func adminRules(cfg *config.Config, a *config.Admin) (rules admin.Rules, problems []config.Problem, err error) {
	rules.MetricsOnly = a.MetricsOnly
	if a.TokenFile == "" {
		return rules, nil, nil
	}
	path := a.Path + ".token_file"
	bad := func(what, remedy string) error {
		return cfg.ErrorAt(path, fmt.Sprintf("%q %s", a.TokenFile, what), remedy)
	}
	const remedy = "name a file that has a token, such as one that \"openssl rand -hex 32\" makes"
	text, mode, err := readToken(a.TokenFile)
	switch {
	case errors.Is(err, os.ErrInvalid):
		return rules, nil, bad("is not a regular file", remedy)
	case err != nil:
		return rules, nil, bad("cannot be read: "+reason(err), "name a file that "+thisProcess().name+" may read; a relative path begins at the working directory")
	}
	token := bytes.TrimSpace(text)
	switch {
	case len(text) > maxToken:
		return rules, nil, bad(fmt.Sprintf("is longer than %d bytes", maxToken), remedy)
	case len(token) == 0:
		return rules, nil, bad("is empty", remedy)
	case bytes.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return rules, nil, bad("has a token with characters that no header field may have", "write one line of letters, digits and punctuation")
	}
	if mode&0o004 != 0 {
		problems = append(problems, cfg.Problem(path, fmt.Sprintf("%q can be read by every user of this machine", a.TokenFile), "chmod o-r "+a.TokenFile))
	}
	rules.Token = token
	return rules, problems, nil
}

// readToken reads a regular file, or the beginning of one that is too long.
func readToken(path string) (text []byte, mode os.FileMode, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, 0, errors.Join(err, os.ErrInvalid)
	}
	text, err = io.ReadAll(io.LimitReader(f, maxToken+1))
	return text, info.Mode(), err
}

// reason returns the text of err without the operation and path, which the message has already.
func reason(err error) string {
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}

// handoverAdmin is an admin port of a predecessor. Its socket is passed with it.
type handoverAdmin struct {
	Listen config.Listen
	File   fileID
}

// takeAdmin returns the ports that a predecessor passes on. There is one file per port.
func takeAdmin(list []handoverAdmin, files []int) (all adminPorts) {
	for i, one := range list {
		all = append(all, &adminPort{port: &port{listen: one.Listen, sockets: files[i : i+1 : i+1], shared: true, open: 1, want: 1, file: one.File}})
	}
	return all
}

// handOver returns what is passed on of ps, and the sockets.
func (ps adminPorts) handOver() (list []handoverAdmin, files []int) {
	for _, one := range ps {
		list = append(list, handoverAdmin{one.listen, one.file})
		files = append(files, one.sockets...)
	}
	return list, files
}
