package service

import (
	"bufio"
	"crypto/rand"
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
	"sync/atomic"
	"time"

	"github.com/goccy/go-json"
	"golang.org/x/sys/unix"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
)

// A running kroxy-ev takes orders from "kroxy-ev reload", "status" and others on its control socket: a Unix socket in the abstract
// namespace, so that no file is left behind. Its name begins with a hash of the configuration's path as it was given. It ends
// differently for each process: containers may share a network, and with it these names, and each may have a file at that path. So the
// process greets whoever connects with what it serves, and the caller decides whether it is the right one (see caller.go). Only root and
// the same user may give orders.
//
// An order is a verb on a line. Arguments are a line of JSON behind it, which older processes, who do not know the verb, do not read.

// The orders that can be given.
const (
	VerbReload  = "reload"
	VerbUpgrade = "upgrade"
	verbStatus  = "status" // these two are carried out at once, whatever else is under way
	verbHost    = "host"   // its arguments are hostArguments
	verbRenew   = "renew"  // internal: the master gives it to itself
	verbUpdate  = "update" // likewise
)

const (
	orderTimeout  = 10 * time.Second       // for the caller to send its order
	answerTimeout = time.Second            // for the caller to read the greeting, and the answer
	statusTimeout = 10 * time.Second       // for the caller to read a status, which may be long
	maxOrder      = 4096                   // bytes
	acceptPause   = 100 * time.Millisecond // after accept has failed
)

var (
	errUnknownOrder = errors.New("unknown order; this kroxy-ev may be older than the one that gave it")
	errStopping     = errors.New("it is stopping")
)

// order is a request to a running proxy. Whoever takes it calls reply once.
type order struct {
	verb    string
	by      string // who gave it: bySignal, byCommand or byAdmin
	files   bool   // of a renewal: certificates are due
	keys    bool   // of a renewal: ticket keys are due
	outcome chan result
	replied chan struct{} // closed when the outcome was written
}

// Who gives orders.
const (
	bySignal  = "signal"
	byCommand = "command"
	byAdmin   = "admin"
)

// newOrder is an order that somebody waits for, who closes replied.
func newOrder(verb, by string) order {
	return order{verb: verb, by: by, outcome: make(chan result, 1), replied: make(chan struct{})}
}

// result is how an order ended.
type result struct {
	err      error
	warnings warnings
}

// answer is what the caller is sent.
func (r result) answer() Answer {
	if r.err != nil {
		return Answer{Error: r.err.Error(), Warnings: r.warnings.list}
	}
	return Answer{Warnings: r.warnings.list, Changes: r.warnings.changes}
}

// reply sends the outcome to the caller, if there is one: an order may also be a signal. When it returns the process may end.
func (o order) reply(err error, w warnings) {
	if o.outcome != nil {
		o.outcome <- result{err, w}
		<-o.replied
	}
}

// Answer is the outcome of an order, as it is sent to the caller.
type Answer struct {
	Error    string // each problem in a line of its own; "" if all went well
	Warnings []string
	// Changes is what a reload has changed, a line each; nil if that is not known, as of an older process.
	Changes []string
	// Status is a *admin.Status, if that was asked for.
	Status json.RawMessage
}

// greeting is what a control socket sends to whoever connects, before it reads an order.
type greeting struct {
	// Refusal says why no order is taken from the caller; all else is empty then.
	Refusal string
	Path    string // of the configuration, as it was given, made absolute
	File    fileID // at that path, as this process sees it
	PID     int    // as this process sees it
	Mounts  uint64 // the mount namespace's number, 0 if it is not known
	State   string // a controlState
}

// fileID identifies an existing file of this machine, whichever mount namespace it is seen from.
type fileID struct{ Dev, Ino uint64 }

// stat is stat(2) with an error that names the path.
func stat(path string) (st unix.Stat_t, err error) {
	if err := unix.Stat(path, &st); err != nil {
		return st, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return st, nil
}

// identify returns the identity of the file at a path.
func identify(path string) (fileID, error) {
	st, err := stat(path)
	return fileID{st.Dev, st.Ino}, err
}

// mounts returns the number of this process's mount namespace, 0 if it is unknown.
func mounts() uint64 {
	ns, _ := identify("/proc/self/ns/mnt")
	return ns.Ino
}

// controlState says whether the process carries out orders. Callers of other versions read its texts.
type controlState int32

const (
	controlServes   controlState = iota
	controlLeaves                // its successor does
	controlStopping              // nobody does
)

func (s controlState) String() string { return [...]string{"serves", "leaves", "stopping"}[s] }

// warnNoControl warns that there is no control socket.
func warnNoControl(log *slog.Logger, err error) {
	log.Warn("kroxy-ev: no control socket: \"kroxy-ev reload\" will not find this process, only signals reach it", "error", err)
}

// control takes orders on a control socket. A nil one gets none.
type control struct {
	path     string // of the configuration, as it was given
	abs      string // the same, made absolute at the start
	listener net.Listener
	backend  admin.Backend
	orders   chan<- order
	state    atomic.Int32 // a controlState
	closed   chan struct{}
}

const controlNames = "@kroxy-ev/"

// controlPrefix is how the names of all control sockets for a configuration begin. Abs is its path as it was given, made absolute;
// symbolic links are not followed, since their targets may change.
func controlPrefix(abs string) string {
	sum := sha256.Sum256([]byte(abs))
	return controlNames + hex.EncodeToString(sum[:16]) + "/"
}

// openControl opens the control socket of a process that serves this configuration, which b steers, and which takes orders.
func openControl(path string, b admin.Backend, orders chan<- order) (*control, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("kroxy-ev: naming the socket for orders: %w", err)
	}
	l, err := net.Listen("unix", controlPrefix(abs)+rand.Text())
	if err != nil {
		return nil, fmt.Errorf("kroxy-ev: opening the socket for orders: %w", err)
	}
	ct := &control{path: path, abs: abs, listener: l, backend: b, orders: orders, closed: make(chan struct{})}
	go ct.serve()
	return ct, nil
}

// become sets the state that callers are told from now on.
func (ct *control) become(s controlState) {
	if ct != nil {
		ct.state.Store(int32(s))
	}
}

// close closes the socket; orders that were not taken fail.
func (ct *control) close() {
	close(ct.closed)
	_ = ct.listener.Close()
}

func (ct *control) serve() {
	for {
		c, err := ct.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // for example, too many open files
			select {
			case <-ct.closed:
				return
			case <-time.After(acceptPause):
			}
			continue
		}
		go ct.handle(c.(*net.UnixConn))
	}
}

// handle takes one order and sends its outcome.
func (ct *control) handle(c *net.UnixConn) {
	defer func() { _ = c.Close() }()
	g := ct.greet(c)
	if !send(c, g, answerTimeout) || g.Refusal != "" {
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(orderTimeout))
	in := bufio.NewReader(io.LimitReader(c, maxOrder))
	verb, err := in.ReadString('\n')
	if err != nil {
		return // the caller wanted another process
	}
	verb = strings.TrimSpace(verb)
	if verb == verbStatus || verb == verbHost {
		send(c, ct.atOnce(verb, in, c), statusTimeout)
		return
	}
	o := newOrder(verb, byCommand)
	defer close(o.replied)
	select {
	case ct.orders <- o:
		send(c, (<-o.outcome).answer(), answerTimeout)
	case <-ct.closed:
		send(c, Answer{Error: errStopping.Error()}, answerTimeout)
	}
}

// atOnce carries out an order that waits for no other. In is what follows the verb, from the peer of c.
func (ct *control) atOnce(verb string, in *bufio.Reader, c *net.UnixConn) (a Answer) {
	var err error
	switch {
	case controlState(ct.state.Load()) == controlStopping:
		err = errStopping
	case verb == verbStatus:
		var s *admin.Status
		if s, err = ct.backend.Status(); err == nil {
			a.Status, err = json.Marshal(s)
		}
	default:
		var line []byte
		if line, err = in.ReadBytes('\n'); err == nil {
			err = setHost(ct.backend, line, giver(c))
		}
	}
	if err != nil {
		return Answer{Error: err.Error()}
	}
	return a
}

// giver says who gives orders on c, for the log.
func giver(c *net.UnixConn) string {
	peer, err := peerOf(c)
	if err != nil {
		return "command"
	}
	return fmt.Sprintf("command of user %d", peer.Uid)
}

// greet returns the greeting for the peer of c, which is a refusal if that may not give orders.
func (ct *control) greet(c *net.UnixConn) greeting {
	var file fileID
	peer, err := peerOf(c)
	if err == nil && peer.Uid != 0 && int(peer.Uid) != os.Getuid() {
		err = errors.New("only root and the user that runs it may give orders to this kroxy-ev")
	}
	if err == nil {
		file, err = identify(ct.path)
	}
	if err != nil {
		return greeting{Refusal: err.Error()}
	}
	return greeting{Path: ct.abs, File: file, PID: os.Getpid(), Mounts: mounts(), State: controlState(ct.state.Load()).String()}
}

// send sends a value as a line that the peer has so much time to read, and reports success.
func send(c net.Conn, what any, timeout time.Duration) bool {
	text, err := json.Marshal(what)
	if err != nil {
		return false
	}
	_ = c.SetWriteDeadline(time.Now().Add(timeout))
	_, err = c.Write(append(text, '\n'))
	return err == nil
}

// peerOf returns who has the other end of a connection: the caller, or the process that listens. The process id is 0 if it belongs to
// a PID namespace that this process cannot see (unix(7), SO_PEERCRED).
func peerOf(c *net.UnixConn) (cred *unix.Ucred, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	ctlErr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return cred, errors.Join(ctlErr, err)
}
