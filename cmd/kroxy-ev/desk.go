package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A running kroxy-ev takes orders from "kroxy-ev reload" and "kroxy-ev upgrade" at its desk: a Unix socket in the abstract
// namespace, named after the configuration file, so that the file's path is all that has to be known and nothing is left on a
// disk. Only root and the same user may give orders.

const (
	verbReload  = "reload"
	verbUpgrade = "upgrade"
	verbRenew   = "renew" // nobody gives it: it is due

	orderTimeout  = 10 * time.Second // to say what is wanted
	answerTimeout = time.Second      // to take the answer
	maxOrder      = 64               // bytes
)

var (
	errUnknownOrder = errors.New("unknown order; this kroxy-ev may be older than the one that gave it")
	errStopping     = errors.New("it is stopping")
)

// order is something that a running proxy is asked to do. Whoever takes it tells the outcome, once.
type order struct {
	verb    string
	files   bool // of a renewal: what is due
	keys    bool
	outcome chan error
	told    chan struct{} // closed: the outcome was written
}

// tell tells whoever gave the order, if anybody waits for it: an order may also be a signal. The process may end after it.
func (o order) tell(err error) {
	if o.outcome != nil {
		o.outcome <- err
		<-o.told
	}
}

// warnNoDesk says that no orders will be taken.
func warnNoDesk(log *slog.Logger, err error) {
	log.Warn("kroxy-ev: \"kroxy-ev reload\" will not find this process, signals will", "error", err)
}

// desk takes orders.
type desk struct {
	listener net.Listener
	orders   chan order
	closed   chan struct{}
}

// deskName is the address of the desk of whoever serves this configuration.
func deskName(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(abs))
	return "@kroxy-ev/" + hex.EncodeToString(sum[:16]), nil
}

// openDesk begins to take orders for whoever serves this configuration.
func openDesk(path string) (*desk, error) {
	name, err := deskName(path)
	if err != nil {
		return nil, fmt.Errorf("kroxy-ev: naming the socket for orders: %w", err)
	}
	l, err := net.Listen("unix", name)
	if err != nil {
		return nil, fmt.Errorf("kroxy-ev: opening the socket for orders: %w", err)
	}
	d := &desk{listener: l, orders: make(chan order), closed: make(chan struct{})}
	go d.serve()
	return d, nil
}

// deskTaken is whether somebody takes orders for this configuration.
func deskTaken(path string) bool {
	name, err := deskName(path)
	if err != nil {
		return false
	}
	c, err := net.Dial("unix", name)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// close ends it; orders that were not taken fail.
func (d *desk) close() {
	close(d.closed)
	_ = d.listener.Close()
}

// refuse tells those who give orders that the program is stopping, until close.
func (d *desk) refuse() {
	for {
		select {
		case o := <-d.orders:
			o.tell(errStopping)
		case <-d.closed:
			return
		}
	}
}

func (d *desk) serve() {
	for {
		c, err := d.listener.Accept()
		if err != nil {
			return
		}
		go d.attend(c.(*net.UnixConn))
	}
}

// attend takes one order and tells its outcome: "ok" or the error's text.
func (d *desk) attend(c *net.UnixConn) {
	defer func() { _ = c.Close() }()
	if err := mayOrder(c); err != nil {
		fmt.Fprintln(c, err)
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(orderTimeout))
	verb, err := bufio.NewReader(io.LimitReader(c, maxOrder)).ReadString('\n')
	if err != nil {
		return
	}
	o := order{verb: strings.TrimSpace(verb), outcome: make(chan error), told: make(chan struct{})}
	select {
	case d.orders <- o:
		err = <-o.outcome
		defer close(o.told)
	case <-d.closed:
		err = errStopping
	}
	_ = c.SetWriteDeadline(time.Now().Add(answerTimeout))
	if err != nil {
		fmt.Fprintln(c, err)
	} else {
		fmt.Fprintln(c, "ok")
	}
}

// mayOrder reports an error unless the peer is root or runs as this process does (unix(7), SO_PEERCRED).
func mayOrder(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	if ctlErr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); ctlErr != nil {
		return ctlErr
	}
	if err != nil {
		return err
	}
	if cred.Uid != 0 && int(cred.Uid) != os.Getuid() {
		return errors.New("only root and the user that runs it may give orders to this kroxy-ev")
	}
	return nil
}

// giveOrder asks whoever serves this configuration, and returns the outcome.
func giveOrder(verb, path string) error {
	name, err := deskName(path)
	if err != nil {
		return fmt.Errorf("kroxy-ev: %w", err)
	}
	c, err := net.Dial("unix", name)
	if err != nil {
		return fmt.Errorf("kroxy-ev: no kroxy-ev of this machine serves %s; start it with --config %s", path, path)
	}
	defer func() { _ = c.Close() }()
	if _, err := fmt.Fprintln(c, verb); err != nil {
		return fmt.Errorf("kroxy-ev: giving the order: %w", err)
	}
	text, err := io.ReadAll(c)
	switch answer := strings.TrimSpace(string(text)); {
	case err != nil:
		return fmt.Errorf("kroxy-ev: waiting for the outcome: %w", err)
	case answer == "":
		return fmt.Errorf("kroxy-ev: the kroxy-ev that serves %s ended before it had told the outcome", path)
	case answer != "ok":
		return errors.New(answer)
	}
	return nil
}
