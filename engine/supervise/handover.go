package supervise

import (
	"fmt"
	"time"
)

// handoverWait bounds how long a new master waits for what it is left, which is sent as soon as it was started.
const handoverWait = 10 * time.Second

// Handover is what an old master leaves to this process, a new one. Either Serving or Fail ends it.
type Handover struct {
	Body []byte
	// Files are close-on-exec and the caller's.
	Files []int

	channel *channel
}

// Inherited returns what this process was left by the master that it is to replace, or nil if there is none. It is to be
// called once, early, like Inherit.
func Inherited() (*Handover, error) {
	v, ok := takeVariable(handoverVariable)
	if !ok {
		return nil, nil
	}
	ch, err := adoptChannel(channelFD)
	if err != nil {
		return nil, fmt.Errorf("supervise: %w", err)
	}
	h := &Handover{channel: ch}
	if v != handoverVersion {
		err = fmt.Errorf("supervise: the old master hands over by version %q, this program takes %s", v, handoverVersion)
		_ = h.Fail(err)
		return nil, err
	}
	ch.giveUp(time.Now().Add(handoverWait))
	m, err := ch.receive()
	if err == nil {
		err = m.damaged
	}
	if err == nil && m.kind != kindHandover {
		err = fmt.Errorf("message %d is not known here", m.kind)
	}
	if err != nil {
		err = fmt.Errorf("supervise: taking over from the old master: %w", err)
		_ = h.Fail(err)
		return nil, err
	}
	h.Body, h.Files = m.body, m.files
	return h, nil
}

// Serving tells the old master that this one serves, and it leaves then. Remarks are for whoever asked for the upgrade. An error
// says that the old master could not be told: it is gone, or has given up on this process and kills it. There is nothing to do about
// either.
func (h *Handover) Serving(remarks string) error {
	defer h.channel.close()
	return told(h.channel.send(message{kind: kindServing, text: remarks}))
}

// Fail tells the old master why this one cannot serve. The caller ends the process soon after.
func (h *Handover) Fail(reason error) error {
	defer h.channel.close()
	return told(h.channel.send(message{kind: kindFailed, text: reason.Error()}))
}

func told(err error) error {
	if err != nil {
		return fmt.Errorf("supervise: telling the old master: %w", err)
	}
	return nil
}
