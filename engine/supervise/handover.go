package supervise

import (
	"fmt"
	"time"
)

// handoverWait bounds how long a new master waits for the handover, which the old master sends as soon as it has started the new one.
const handoverWait = 10 * time.Second

// Handover is what an old master hands over to this process, the new one. The caller must end it by Serving or Fail.
type Handover struct {
	Body []byte
	// Files are close-on-exec and the caller's.
	Files []int

	channel *channel
}

// Inherited returns the handover from the master that this process replaces, or nil if there is none. It must be
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
		err = fmt.Errorf("supervise: the old master uses handover version %q, this program needs %s", v, handoverVersion)
		_ = h.Fail(err)
		return nil, err
	}
	ch.giveUp(time.Now().Add(handoverWait))
	m, err := ch.receive()
	if err == nil {
		err = m.damaged
	}
	if err == nil && m.kind != kindHandover {
		err = fmt.Errorf("unknown message %d", m.kind)
	}
	if err != nil {
		err = fmt.Errorf("supervise: taking over from the old master: %w", err)
		_ = h.Fail(err)
		return nil, err
	}
	h.Body, h.Files = m.body, m.files
	return h, nil
}

// Serving tells the old master that this one serves, so that the old one leaves. remarks are for the user who requested the upgrade. An error
// means that the old master could not be told: it is gone, or has given up on this process and kills it. The caller cannot do anything
// about either.
func (h *Handover) Serving(remarks string) error {
	defer h.channel.close()
	return tellError(h.channel.send(message{kind: kindServing, text: remarks}))
}

// Fail tells the old master why this one cannot serve. The caller must end the process soon afterwards.
func (h *Handover) Fail(reason error) error {
	defer h.channel.close()
	return tellError(h.channel.send(message{kind: kindFailed, text: reason.Error()}))
}

func tellError(err error) error {
	if err != nil {
		return fmt.Errorf("supervise: telling the old master: %w", err)
	}
	return nil
}
