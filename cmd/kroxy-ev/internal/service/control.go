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
// namespace, so that no file is left behind. The socket's name begins with a hash of the configuration's path as given at the start. The
// rest of the name differs for each process: containers may share a network, and with it these names, and each may have a file at that
// path. So the process greets each caller by saying what it serves, and the caller decides whether it is the right process (see caller.go).
// Only root and the user of the process may give orders.
//
// An order is a verb on a line. Its arguments, if any, follow as a line of JSON, which older processes do not read: they do not know the
// verb.

// The verbs of orders.
const (
	VerbReload  = "reload"
	VerbUpgrade = "upgrade"
	verbStatus  = "status" // status and host are carried out at once, whatever else is under way
	verbHost    = "host"   // the arguments are hostArguments
	verbRenew   = "renew"  // internal: given by the process to itself
	verbUpdate  = "update" // internal: given by the process to itself
)

const (
	orderTimeout  = 10 * time.Second       // for the caller to send its order
	answerTimeout = time.Second            // for the caller to read the greeting or the answer
	statusTimeout = 10 * time.Second       // for the caller to read a status, which may be long
	maxOrder      = 4096                   // bytes
	acceptPause   = 100 * time.Millisecond // after accept has failed
)

var (
	errUnknownOrder = errors.New("unknown order; this kroxy-ev may be older than the one that gave it")
	errStopping     = errors.New("it is stopping")
)

// order is a request to a running proxy. Whoever receives it must call reply once.
type order struct {
	verb    string
	by      string // who gave it: bySignal, byCommand or byAdmin
	files   bool   // for a renewal: certificates are due
	keys    bool   // for a renewal: ticket keys are due
	outcome chan result
	replied chan struct{} // closed when the outcome has been written to the caller
}

// Sources of orders.
const (
	bySignal  = "signal"
	byCommand = "command"
	byAdmin   = "admin"
)

// newOrder makes an order whose giver waits for the outcome and then closes replied.
func newOrder(verb, by string) order {
	return order{verb: verb, by: by, outcome: make(chan result, 1), replied: make(chan struct{})}
}

// result is how an order ended.
type result struct {
	err      error
	warnings warnings
}

// answer returns what is sent to the caller.
func (r result) answer() Answer {
	if r.err != nil {
		return Answer{Error: r.err.Error(), Warnings: r.warnings.list}
	}
	return Answer{Warnings: r.warnings.list, Changes: r.warnings.changes}
}

// reply sends the outcome to the caller, if there is one: an order from a signal has none. When reply returns, the process may end.
func (o order) reply(err error, w warnings) {
	if o.outcome != nil {
		o.outcome <- result{err, w}
		<-o.replied
	}
}

// Answer is the outcome of an order, as sent to the caller.
type Answer struct {
	Error    string // one problem per line; "" for success
	Warnings []string
	// Changes lists what a reload has changed; nil if that is not known, as in an answer of an older process.
	Changes []string
	// Status is an *admin.Status, if the order was verbStatus.
	Status json.RawMessage
}

// greeting is what a control socket sends to each caller before it reads an order.
type greeting struct {
	// Refusal says why the caller may not give orders; the other fields are empty then.
	Refusal string
	Path    string // absolute path of the configuration, symbolic links not resolved
	File    fileID // the file at that path, as this process sees it
	PID     int    // as this process sees it
	Mounts  uint64 // number of the mount namespace, 0 if it is not known
	State   string // text of a controlState
}

// fileID identifies a file of this machine in any mount namespace.
type fileID struct{ Dev, Ino uint64 }

// stat is stat(2) with an error that names the path.
func stat(path string) (st unix.Stat_t, err error) {
	if err := unix.Stat(path, &st); err != nil {
		return st, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return st, nil
}

// identify returns the identity of the file at path.
func identify(path string) (fileID, error) {
	st, err := stat(path)
	return fileID{st.Dev, st.Ino}, err
}

// mounts returns the number of this process's mount namespace, or 0 if it is unknown.
func mounts() uint64 {
	ns, _ := identify("/proc/self/ns/mnt")
	return ns.Ino
}

// controlState says whether the process carries out orders. Callers of other versions read its texts.
type controlState int32

const (
	controlServes   controlState = iota
	controlLeaves                // the successor carries them out
	controlStopping              // nobody carries them out
)

func (s controlState) String() string { return [...]string{"serves", "leaves", "stopping"}[s] }

// warnNoControl warns that there is no control socket.
func warnNoControl(log *slog.Logger, err error) {
	log.Warn("kroxy-ev: no control socket: \"kroxy-ev reload\" will not find this process, only signals reach it", "error", err)
}

// control takes orders on a control socket. A nil control takes none.
type control struct {
	path     string // of the configuration, as given
	abs      string // the same, made absolute at the start
	listener net.Listener
	backend  admin.Backend
	orders   chan<- order
	state    atomic.Int32 // a controlState
	closed   chan struct{}
}

const controlNames = "@kroxy-ev/"

// controlPrefix returns the common prefix of the names of all control sockets for a configuration; abs is its absolute path. Symbolic links
// are not followed, because their targets may change.
func controlPrefix(abs string) string {
	sum := sha256.Sum256([]byte(abs))
	return controlNames + hex.EncodeToString(sum[:16]) + "/"
}

// openControl opens the control socket of a process that serves the configuration at path. Backend b answers status and host orders; all
// others go to orders.
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

// close closes the socket; orders that were not accepted yet fail.
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

// atOnce carries out an order that does not wait for others. In has what follows the verb, sent by the peer of c.
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
			err = setHost(ct.backend, line, peerName(c))
		}
	}
	if err != nil {
		return Answer{Error: err.Error()}
	}
	return a
}

// peerName describes the peer of c, for the log.
func peerName(c *net.UnixConn) string {
	peer, err := peerOf(c)
	if err != nil {
		return "command"
	}
	return fmt.Sprintf("command of user %d", peer.Uid)
}

// greet returns the greeting for the peer of c; it is a refusal if the peer may not give orders.
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

// send sends a value as one line, which the peer must read within timeout. It reports success.
func send(c net.Conn, what any, timeout time.Duration) bool {
	text, err := json.Marshal(what)
	if err != nil {
		return false
	}
	_ = c.SetWriteDeadline(time.Now().Add(timeout))
	_, err = c.Write(append(text, '\n'))
	return err == nil
}

// peerOf returns the credentials of the other end of a connection: the caller, or the listening process. The PID is 0 if that process is in a
// PID namespace that this process cannot see (unix(7), SO_PEERCRED).
func peerOf(c *net.UnixConn) (cred *unix.Ucred, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	ctlErr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return cred, errors.Join(ctlErr, err)
}
