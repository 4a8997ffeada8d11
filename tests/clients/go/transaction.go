package main

import (
	"context"
	"sort"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// transactionListener does not know at first what becomes of those that are called later.
type transactionListener struct {
	lock   sync.Mutex
	checks map[string]int
}

func stateOf(body string) primitive.LocalTransactionState {
	if strings.HasSuffix(strings.TrimRight(body, " 0123456789"), "commit") {
		return primitive.CommitMessageState
	}
	return primitive.RollbackMessageState
}

func (l *transactionListener) ExecuteLocalTransaction(message *primitive.Message) primitive.LocalTransactionState {
	body := string(message.Body)
	if strings.HasPrefix(body, "later") {
		return primitive.UnknowState
	}
	return stateOf(body)
}

func (l *transactionListener) CheckLocalTransaction(message *primitive.MessageExt) primitive.LocalTransactionState {
	body := string(message.Body)
	l.lock.Lock()
	defer l.lock.Unlock()
	l.checks[body]++
	if l.checks[body] == 1 {
		return primitive.UnknowState
	}
	return stateOf(body)
}

func transactions(c *testContext) {
	broker := c.createTopic()
	listener := &transactionListener{checks: map[string]int{}}
	starting.Lock()
	options := []producer.Option{
		producer.WithNameServer([]string{c.namesrv}),
		producer.WithInstanceName(c.instance()),
		producer.WithGroupName("TX_" + c.name + "_" + runName),
		producer.WithSendMsgTimeout(10 * time.Second),
	}
	if accountsAreChecked() {
		options = append(options, producer.WithCredentials(ownAccount()))
	}
	made, err := rocketmq.NewTransactionProducer(listener, options...)
	check(err, "new transaction producer")
	check(made.Start(), "start of a transaction producer")
	starting.Unlock()
	c.closeLater(made.Shutdown)
	var committed []string
	for _, kind := range []string{"commit", "rollback", "later commit", "later rollback"} {
		bodies := numbered(kind, 10)
		for _, body := range bodies {
			result, err := made.SendMessageInTransaction(context.Background(), message(c.topic(), body))
			check(err, "send in a transaction")
			same(primitive.SendOK, result.Status, "status")
		}
		if strings.HasSuffix(kind, "commit") {
			committed = append(committed, bodies...)
		}
	}
	sort.Strings(committed)
	await("commits", 40*time.Second, func() bool { return len(c.bodies(broker)) >= len(committed) })
	// time for another check, which must change nothing
	time.Sleep(5 * time.Second)
	sameList(committed, c.bodies(broker), "what was committed")
	listener.lock.Lock()
	defer listener.lock.Unlock()
	same(20, len(listener.checks), "transactions that were asked for")
}
