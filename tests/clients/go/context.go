package main

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

var (
	runName  = strconv.FormatInt(time.Now().UnixMilli(), 36)
	instance atomic.Int64
	// the client keeps tables of clients without a lock while they start
	starting sync.Mutex
)

// testContext is what a scenario works with: clients under names of their own.
type testContext struct {
	namesrv string
	name    string
	lock    sync.Mutex
	closers []func() error
	sender  rocketmq.Producer
	pulls   rocketmq.PullConsumer
}

func newContext(namesrv, name string) *testContext {
	return &testContext{namesrv: namesrv, name: name}
}

func (c *testContext) topic() string { return "T_" + c.name + "_" + runName }

func (c *testContext) group(suffix string) string { return "G_" + c.name + suffix + "_" + runName }

func (c *testContext) instance() string {
	return fmt.Sprintf("%s-%s-%d", c.name, runName, instance.Add(1))
}

func (c *testContext) closeLater(closer func() error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.closers = append(c.closers, closer)
}

func (c *testContext) close() {
	c.lock.Lock()
	defer c.lock.Unlock()
	for _, closer := range c.closers {
		_ = closer()
	}
}

// producer is the scenario's own; it sends to the queue that a message names.
func (c *testContext) producer() rocketmq.Producer {
	if c.sender == nil {
		c.sender = c.newProducer(producer.WithQueueSelector(namedOrNext()))
	}
	return c.sender
}

func (c *testContext) newProducer(options ...producer.Option) rocketmq.Producer {
	options = append(options,
		producer.WithNameServer([]string{c.namesrv}),
		producer.WithInstanceName(c.instance()),
		producer.WithGroupName("P_"+c.name+"_"+runName),
		producer.WithSendMsgTimeout(10*time.Second),
		producer.WithRetry(2))
	if accountsAreChecked() {
		options = append(options, producer.WithCredentials(ownAccount()))
	}
	starting.Lock()
	defer starting.Unlock()
	made, err := rocketmq.NewProducer(options...)
	check(err, "new producer")
	check(made.Start(), "start of a producer")
	c.closeLater(made.Shutdown)
	return made
}

type selector struct {
	next producer.QueueSelector
}

func namedOrNext() producer.QueueSelector {
	return selector{producer.NewRoundRobinQueueSelector()}
}

func (s selector) Select(message *primitive.Message, queues []*primitive.MessageQueue, brokers string) *primitive.MessageQueue {
	if message.Queue != nil {
		return message.Queue
	}
	return s.next.Select(message, queues, brokers)
}

// createTopic lets the broker create the scenario's topic, of 4 queues, with a first message, and puts
// one into each queue: the client waits long in a pull of an empty one. Returns the broker's name.
func (c *testContext) createTopic() string {
	result := c.firstMessage(nil)
	for _, queue := range c.queues(result.MessageQueue.BrokerName) {
		if queue.QueueId != result.MessageQueue.QueueId {
			c.firstMessage(queue)
		}
	}
	return result.MessageQueue.BrokerName
}

func (c *testContext) firstMessage(queue *primitive.MessageQueue) *primitive.SendResult {
	first := message(c.topic(), "first")
	first.Queue = queue
	return c.sendSync(first)
}

// sendSync sends again while the broker answers that it is busy, as a Java one does that has just
// started; nothing of a refused message is stored.
func (c *testContext) sendSync(messages ...*primitive.Message) *primitive.SendResult {
	for attempt := 0; ; attempt++ {
		result, err := c.producer().SendSync(context.Background(), messages...)
		if err != nil && attempt < 20 && strings.Contains(err.Error(), "CODE: 2,") {
			time.Sleep(300 * time.Millisecond)
			continue
		}
		check(err, "send")
		same(primitive.SendOK, result.Status, "status")
		return result
	}
}

// pull consumes nothing by itself; it is for looking at queues.
func (c *testContext) pull() rocketmq.PullConsumer {
	if c.pulls == nil {
		starting.Lock()
		defer starting.Unlock()
		options := []consumer.Option{
			consumer.WithGroupName(c.group("_pull")),
			consumer.WithNameServer([]string{c.namesrv}),
			consumer.WithInstance(c.instance()),
		}
		if accountsAreChecked() {
			options = append(options, consumer.WithCredentials(ownAccount()))
		}
		made, err := rocketmq.NewPullConsumer(options...)
		check(err, "new pull consumer")
		check(made.Subscribe(c.topic(), consumer.MessageSelector{}), "subscription")
		check(made.Start(), "start of a pull consumer")
		c.closeLater(made.Shutdown)
		c.pulls = made
	}
	return c.pulls
}

// drain returns the messages of a queue, which is not empty, once there are at least so many, and
// checks that offsets have no gaps.
func (c *testContext) drain(queue *primitive.MessageQueue, count int) []*primitive.MessageExt {
	var found []*primitive.MessageExt
	deadline := time.Now().Add(15 * time.Second)
	for {
		result, err := c.pull().PullFrom(context.Background(), queue, int64(len(found)), 32)
		check(err, "pull")
		same(primitive.PullFound, result.Status, "status of a pull")
		for _, each := range result.GetMessageExts() {
			same(int64(len(found)), each.QueueOffset, "queue offset")
			same(queue.QueueId, each.Queue.QueueId, "queue id")
			same(queue.Topic, each.Topic, "topic")
			found = append(found, each)
		}
		same(int64(len(found)), result.NextBeginOffset, "next begin offset")
		// a pull at the end would be held for 20 s
		if result.NextBeginOffset >= result.MaxOffset {
			if len(found) >= count || time.Now().After(deadline) {
				return found
			}
			// not all is visible yet
			found = nil
			time.Sleep(20 * time.Millisecond)
		}
	}
}

func (c *testContext) queues(broker string) []*primitive.MessageQueue {
	var queues []*primitive.MessageQueue
	for id := 0; id < 4; id++ {
		queues = append(queues, &primitive.MessageQueue{Topic: c.topic(), BrokerName: broker, QueueId: id})
	}
	return queues
}

// bodies of all queues of the topic, sorted; the first message of createTopic is left out.
func (c *testContext) bodies(broker string) []string {
	var found []string
	for _, queue := range c.queues(broker) {
		for _, each := range c.drain(queue, 1) {
			if body := string(each.Body); body != "first" {
				found = append(found, body)
			}
		}
	}
	sort.Strings(found)
	return found
}

func (c *testContext) pushConsumer(in *inbox, group, name, expression string, options ...consumer.Option) rocketmq.PushConsumer {
	return c.pushWith(group, expression, func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		in.add(name, messages...)
		return consumer.ConsumeSuccess, nil
	}, options...)
}

func (c *testContext) pushWith(group, expression string,
	listener func(context.Context, ...*primitive.MessageExt) (consumer.ConsumeResult, error), options ...consumer.Option) rocketmq.PushConsumer {
	options = append([]consumer.Option{
		consumer.WithGroupName(group),
		consumer.WithNameServer([]string{c.namesrv}),
		consumer.WithInstance(c.instance()),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	}, options...)
	if accountsAreChecked() {
		options = append(options, consumer.WithCredentials(ownAccount()))
	}
	starting.Lock()
	defer starting.Unlock()
	made, err := rocketmq.NewPushConsumer(options...)
	check(err, "new push consumer")
	selector := consumer.MessageSelector{Type: consumer.TAG, Expression: expression}
	check(made.Subscribe(c.topic(), selector, listener), "subscription")
	check(made.Start(), "start of a push consumer")
	c.closeLater(made.Shutdown)
	return made
}

func message(topic, body string) *primitive.Message {
	return primitive.NewMessage(topic, []byte(body))
}

func check(err error, what string) {
	if err != nil {
		panic(what + ": " + err.Error())
	}
}

func same[T comparable](expected, got T, what string) {
	if expected != got {
		panic(fmt.Sprintf("%s: expected %v, got %v", what, expected, got))
	}
}

func sameList(expected, got []string, what string) {
	if len(expected) != len(got) {
		panic(fmt.Sprintf("%s: expected %d, got %d: %.300v", what, len(expected), len(got), got))
	}
	same(strings.Join(expected, "\n"), strings.Join(got, "\n"), what)
}

func await(what string, timeout time.Duration, condition func() bool) {
	for deadline := time.Now().Add(timeout); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			panic(what + ": not within " + timeout.String())
		}
	}
}
