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

// A running kroxy-ev takes orders from "kroxy-ev reload" and "kroxy-ev upgrade" at its desk: a Unix socket in the abstract
// namespace, so that nothing is left on a disk. Its name begins with what stands for the configuration's path as it was given,
// and ends differently for each process: containers may share a network, and with it these names, and each have a file at that
// path. So the desk introduces itself to whoever connects, and the caller decides whether it is the one (see caller.go). Only root
// and the same user may give orders.

// The orders that can be given.
const (
	VerbReload  = "reload"
	VerbUpgrade = "upgrade"
	verbRenew   = "renew" // nobody gives it: it is due
)

const (
	orderTimeout  = 10 * time.Second       // to say what is wanted
	answerTimeout = time.Second            // to take the introduction, and the answer
	maxOrder      = 64                     // bytes
	acceptPause   = 100 * time.Millisecond // after a failure
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
	outcome chan Answer
	told    chan struct{} // closed: the outcome was written
}

// tell tells whoever gave the order, if anybody waits for it: an order may also be a signal. The process may end after it.
func (o order) tell(err error, warnings ...string) {
	if o.outcome != nil {
		a := Answer{Warnings: warnings}
		if err != nil {
			a.Error = err.Error()
		}
		o.outcome <- a
		<-o.told
	}
}

// Answer is how an order was carried out, as it travels to whoever gave it.
type Answer struct {
	Error    string // each problem in a line of its own; "" if all went well
	Warnings []string
}

// introduction is what a desk says, before it hears an order, to whoever connects.
type introduction struct {
	// Refusal is why the caller may not give orders, or cannot; then there is nothing else.
	Refusal string
	Path    string // of the configuration, as it was given, made absolute
	File    fileID // that is there, seen from here
	PID     int    // seen from here
	Mounts  uint64 // the mount namespace's number, 0 if it is not known
	State   string // a deskState
}

// fileID tells files of one machine apart, from whichever mount namespace they are seen, as long as they exist.
type fileID struct{ Dev, Ino uint64 }

// stat looks at a file.
func stat(path string) (st unix.Stat_t, err error) {
	if err := unix.Stat(path, &st); err != nil {
		return st, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return st, nil
}

// identify tells which file is at a path.
func identify(path string) (fileID, error) {
	st, err := stat(path)
	return fileID{st.Dev, st.Ino}, err
}

// mounts is the number of this process's mount namespace, 0 if it cannot be known.
func mounts() uint64 {
	ns, _ := identify("/proc/self/ns/mnt")
	return ns.Ino
}

// deskState is whether a desk's process does what it is told.
type deskState int32

const (
	deskServes   deskState = iota
	deskLeaves             // a successor does
	deskStopping           // nobody does
)

func (s deskState) String() string { return [...]string{"serves", "leaves", "stopping"}[s] }

// warnNoDesk says that no orders will be taken.
func warnNoDesk(log *slog.Logger, err error) {
	log.Warn("kroxy-ev: \"kroxy-ev reload\" will not find this process, signals will", "error", err)
}

// desk takes orders. A nil one has none.
type desk struct {
	path     string // of the configuration, as it was given
	abs      string // the same, made absolute at the start
	listener net.Listener
	state    atomic.Int32 // a deskState
	orders   chan order
	closed   chan struct{}
}

const deskNames = "@kroxy-ev/"

// deskPrefix is what the names of all desks for this configuration begin with. Abs is its path as it is given, made absolute;
// symbolic links are not followed, since where they lead may change.
func deskPrefix(abs string) string {
	sum := sha256.Sum256([]byte(abs))
	return deskNames + hex.EncodeToString(sum[:16]) + "/"
}

// openDesk begins to take orders for whoever serves this configuration.
func openDesk(path string) (*desk, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("kroxy-ev: naming the socket for orders: %w", err)
	}
	l, err := net.Listen("unix", deskPrefix(abs)+rand.Text())
	if err != nil {
		return nil, fmt.Errorf("kroxy-ev: opening the socket for orders: %w", err)
	}
	d := &desk{path: path, abs: abs, listener: l, orders: make(chan order), closed: make(chan struct{})}
	go d.serve()
	return d, nil
}

// become tells callers from now on that the process does not do what it is told any more.
func (d *desk) become(s deskState) {
	if d != nil {
		d.state.Store(int32(s))
	}
}

// taken are the orders.
func (d *desk) taken() <-chan order {
	if d == nil {
		return nil
	}
	return d.orders
}

// close ends it; orders that were not taken fail.
func (d *desk) close() {
	close(d.closed)
	_ = d.listener.Close()
}

// refuse tells those who give orders that the program is stopping, until close.
func (d *desk) refuse() {
	d.become(deskStopping)
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
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // such as that there are too many open files
			select {
			case <-d.closed:
				return
			case <-time.After(acceptPause):
			}
			continue
		}
		go d.attend(c.(*net.UnixConn))
	}
}

// attend takes one order and tells its outcome.
func (d *desk) attend(c *net.UnixConn) {
	defer func() { _ = c.Close() }()
	about := d.introduce(c)
	if !say(c, about) || about.Refusal != "" {
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(orderTimeout))
	verb, err := bufio.NewReader(io.LimitReader(c, maxOrder)).ReadString('\n')
	if err != nil {
		return // it wants something from another
	}
	o := order{verb: strings.TrimSpace(verb), outcome: make(chan Answer), told: make(chan struct{})}
	defer close(o.told)
	select {
	case d.orders <- o:
		say(c, <-o.outcome)
	case <-d.closed:
		say(c, Answer{Error: errStopping.Error()})
	}
}

// introduce says whose desk this is, to those who may know.
func (d *desk) introduce(c *net.UnixConn) introduction {
	var file fileID
	peer, err := peerOf(c)
	if err == nil && peer.Uid != 0 && int(peer.Uid) != os.Getuid() {
		err = errors.New("only root and the user that runs it may give orders to this kroxy-ev")
	}
	if err == nil {
		file, err = identify(d.path)
	}
	if err != nil {
		return introduction{Refusal: err.Error()}
	}
	return introduction{Path: d.abs, File: file, PID: os.Getpid(), Mounts: mounts(), State: deskState(d.state.Load()).String()}
}

// say sends a line, and reports whether it was sent.
func say(c net.Conn, what any) bool {
	text, err := json.Marshal(what)
	if err != nil {
		return false
	}
	_ = c.SetWriteDeadline(time.Now().Add(answerTimeout))
	_, err = c.Write(append(text, '\n'))
	return err == nil
}

// peerOf is who has the other end of a connection, as seen from here: the caller's process, or the one that listens; the process's
// id is 0 if it is in a PID namespace that is not seen from here (unix(7), SO_PEERCRED).
func peerOf(c *net.UnixConn) (cred *unix.Ucred, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	ctlErr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return cred, errors.Join(ctlErr, err)
}
