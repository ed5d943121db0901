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
)

// A running kroxy-ev takes orders from "kroxy-ev reload" and "kroxy-ev upgrade" on its control socket: a Unix socket in the abstract
// namespace, so that no file is left behind. Its name begins with a hash of the configuration's path as it was given. It ends
// differently for each process: containers may share a network, and with it these names, and each may have a file at that path. So the
// process greets whoever connects with what it serves, and the caller decides whether it is the right one (see caller.go). Only root and
// the same user may give orders.

// The orders that can be given.
const (
	VerbReload  = "reload"
	VerbUpgrade = "upgrade"
	verbRenew   = "renew"  // internal: the master gives it to itself
	verbUpdate  = "update" // likewise
)

const (
	orderTimeout  = 10 * time.Second       // for the caller to send its order
	answerTimeout = time.Second            // for the caller to read the greeting, and the answer
	maxOrder      = 64                     // bytes
	acceptPause   = 100 * time.Millisecond // after accept has failed
)

var (
	errUnknownOrder = errors.New("unknown order; this kroxy-ev may be older than the one that gave it")
	errStopping     = errors.New("it is stopping")
)

// order is a request to a running proxy. Whoever takes it calls reply once.
type order struct {
	verb    string
	files   bool // of a renewal: certificates are due
	keys    bool // of a renewal: ticket keys are due
	outcome chan Answer
	replied chan struct{} // closed when the outcome was written
}

// reply sends the outcome to the caller, if there is one: an order may also be a signal. When it returns the process may end.
func (o order) reply(err error, warnings ...string) {
	if o.outcome != nil {
		a := Answer{Warnings: warnings}
		if err != nil {
			a.Error = err.Error()
		}
		o.outcome <- a
		<-o.replied
	}
}

// Answer is the outcome of an order, as it is sent to the caller.
type Answer struct {
	Error    string // each problem in a line of its own; "" if all went well
	Warnings []string
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
	state    atomic.Int32 // a controlState
	orders   chan order
	closed   chan struct{}
}

const controlNames = "@kroxy-ev/"

// controlPrefix is how the names of all control sockets for a configuration begin. Abs is its path as it was given, made absolute;
// symbolic links are not followed, since their targets may change.
func controlPrefix(abs string) string {
	sum := sha256.Sum256([]byte(abs))
	return controlNames + hex.EncodeToString(sum[:16]) + "/"
}

// openControl opens the control socket of a process that serves this configuration.
func openControl(path string) (*control, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("kroxy-ev: naming the socket for orders: %w", err)
	}
	l, err := net.Listen("unix", controlPrefix(abs)+rand.Text())
	if err != nil {
		return nil, fmt.Errorf("kroxy-ev: opening the socket for orders: %w", err)
	}
	ct := &control{path: path, abs: abs, listener: l, orders: make(chan order), closed: make(chan struct{})}
	go ct.serve()
	return ct, nil
}

// become sets the state that callers are told from now on.
func (ct *control) become(s controlState) {
	if ct != nil {
		ct.state.Store(int32(s))
	}
}

// taken returns the orders as they come.
func (ct *control) taken() <-chan order {
	if ct == nil {
		return nil
	}
	return ct.orders
}

// close closes the socket; orders that were not taken fail.
func (ct *control) close() {
	close(ct.closed)
	_ = ct.listener.Close()
}

// refuse answers all orders, until close, that the program is stopping.
func (ct *control) refuse() {
	ct.become(controlStopping)
	for {
		select {
		case o := <-ct.orders:
			o.reply(errStopping)
		case <-ct.closed:
			return
		}
	}
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
	if !send(c, g) || g.Refusal != "" {
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(orderTimeout))
	verb, err := bufio.NewReader(io.LimitReader(c, maxOrder)).ReadString('\n')
	if err != nil {
		return // the caller wanted another process
	}
	o := order{verb: strings.TrimSpace(verb), outcome: make(chan Answer), replied: make(chan struct{})}
	defer close(o.replied)
	select {
	case ct.orders <- o:
		send(c, <-o.outcome)
	case <-ct.closed:
		send(c, Answer{Error: errStopping.Error()})
	}
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

// send sends a value as a line, and reports success.
func send(c net.Conn, what any) bool {
	text, err := json.Marshal(what)
	if err != nil {
		return false
	}
	_ = c.SetWriteDeadline(time.Now().Add(answerTimeout))
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
