// sarama HOST:PORT PREFIX [CHECK…]: sarama against the server there.
package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"bide/conformance/tap"

	"github.com/IBM/sarama"
)

type checks struct {
	server, prefix string
	client         sarama.Client
	admin          sarama.ClusterAdmin
}

func configuration() *sarama.Config {
	config := sarama.NewConfig()
	config.ClientID = "a-client"
	config.Version = sarama.MaxVersion
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	config.Consumer.Group.Heartbeat.Interval = 300 * time.Millisecond
	return config
}

func (c *checks) topic(name string, partitions int32) (string, error) {
	topic := c.prefix + "-" + strings.ReplaceAll(name, "=", "-")
	err := c.admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}, false)
	return topic, err
}

func numbered(topic string, numbers []int, partitions int) []*sarama.ProducerMessage {
	var all []*sarama.ProducerMessage
	for _, n := range numbers {
		message := sarama.ProducerMessage{Topic: topic, Partition: int32(n % partitions), Value: sarama.StringEncoder(strconv.Itoa(n))}
		message.Timestamp = time.UnixMilli(tap.Time + int64(n)*1000)
		all = append(all, &message)
	}
	return all
}

func number(m *sarama.ConsumerMessage) int {
	n, _ := strconv.Atoi(string(m.Value))
	return n
}

func (c *checks) send(config *sarama.Config, messages []*sarama.ProducerMessage) error {
	writer, err := sarama.NewSyncProducer([]string{c.server}, config)
	if err != nil {
		return err
	}
	return errors.Join(writer.SendMessages(messages), writer.Close())
}

func (c *checks) filled(name string, partitions, records int) (string, error) {
	topic, err := c.topic(name, int32(partitions))
	if err != nil {
		return "", err
	}
	return topic, c.send(configuration(), numbered(topic, tap.Numbers(0, records), partitions))
}

// --- records -------------------------------------------------------------------------------------------------------------

func (c *checks) thereAndBack(name string, change func(*sarama.Config)) tap.Check {
	return tap.Check{Name: name, Run: func(context.Context) error {
		topic, err := c.topic(name, 3)
		if err != nil {
			return err
		}
		config := configuration()
		change(config)
		var sent []*sarama.ProducerMessage
		for i := range tap.Records {
			made := tap.Make(i)
			message := sarama.ProducerMessage{Topic: topic, Partition: int32(made.Partition), Timestamp: time.UnixMilli(made.Time)}
			if made.Key != nil {
				message.Key = sarama.ByteEncoder(made.Key)
			}
			if made.Value != nil {
				message.Value = sarama.ByteEncoder(made.Value)
			}
			for _, header := range made.Headers {
				message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(header.Key), Value: header.Value})
			}
			sent = append(sent, &message)
		}
		if err := c.send(config, sent); err != nil {
			return err
		}
		var order tap.Order
		for partition := range int32(3) {
			if err := c.compare(topic, partition, &order); err != nil {
				return err
			}
		}
		return nil
	}}
}

func (c *checks) compare(topic string, partition int32, order *tap.Order) error {
	consumer, err := sarama.NewConsumerFromClient(c.client)
	if err != nil {
		return err
	}
	reader, err := consumer.ConsumePartition(topic, partition, sarama.OffsetOldest)
	if err != nil {
		return err
	}
	defer reader.Close()
	for range tap.Records / 3 {
		m := <-reader.Messages()
		came := tap.Record{Partition: int(m.Partition), Key: m.Key, Value: m.Value, Time: m.Timestamp.UnixMilli()}
		for _, header := range m.Headers {
			came.Headers = append(came.Headers, tap.Header{Key: string(header.Key), Value: header.Value})
		}
		if err := order.Take(came, m.Offset); err != nil {
			return err
		}
	}
	return nil
}

// --- groups --------------------------------------------------------------------------------------------------------------

// Handler of a session: `take` is called with each message, and says whether it was the last.
type handler struct {
	began, ended func(sarama.ConsumerGroupSession)
	take         func(sarama.ConsumerGroupSession, *sarama.ConsumerMessage) (bool, error)
	stop         context.CancelFunc
	err          error
}

func (h *handler) Setup(session sarama.ConsumerGroupSession) error {
	if h.began != nil {
		h.began(session)
	}
	return nil
}

func (h *handler) Cleanup(session sarama.ConsumerGroupSession) error {
	session.Commit()
	if h.ended != nil {
		h.ended(session)
	}
	return nil
}

func (h *handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case <-session.Context().Done():
			return nil
		case message, more := <-claim.Messages():
			if !more {
				return nil
			}
			if session.Context().Err() != nil {
				return nil
			}
			last, err := h.take(session, message)
			if last || err != nil {
				h.err = err
				h.stop()
				return nil
			}
		}
	}
}

func (c *checks) consume(ctx context.Context, topic string, config *sarama.Config, h *handler) error {
	group, err := sarama.NewConsumerGroup([]string{c.server}, topic, config)
	if err != nil {
		return err
	}
	defer group.Close()
	ctx, h.stop = context.WithCancel(ctx)
	for ctx.Err() == nil {
		if err := group.Consume(ctx, []string{topic}, h); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return h.err
}

func (c *checks) resume(ctx context.Context) error {
	topic, err := c.filled("resume", 1, 100)
	if err != nil {
		return err
	}
	next := 0
	read := func(until int, then func(sarama.ConsumerGroupSession)) error {
		return c.consume(ctx, topic, configuration(), &handler{take: func(s sarama.ConsumerGroupSession, m *sarama.ConsumerMessage) (bool, error) {
			if err := tap.Equal(number(m), next, "read"); err != nil {
				return true, err
			}
			next++
			then(s)
			return next == until, nil
		}})
	}
	err = read(60, func(s sarama.ConsumerGroupSession) {
		if next == 50 {
			s.MarkOffset(topic, 0, 50, "half of it")
			s.Commit()
		}
	})
	if err != nil {
		return err
	}
	kept, err := c.admin.ListConsumerGroupOffsets(topic, map[string][]int32{topic: {0}})
	if err != nil {
		return err
	}
	block := kept.GetBlock(topic, 0)
	if err := tap.Equal(fmt.Sprint(block.Offset, block.Metadata), "50half of it", "committed"); err != nil {
		return err
	}
	next = 50
	return read(100, func(sarama.ConsumerGroupSession) {})
}

func (c *checks) group(name string, strategy sarama.BalanceStrategy) tap.Check {
	return tap.Check{Name: name, Run: func(ctx context.Context) error {
		topic, err := c.topic(name, tap.Partitions)
		if err != nil {
			return err
		}
		writer, err := sarama.NewSyncProducer([]string{c.server}, configuration())
		if err != nil {
			return err
		}
		defer writer.Close()
		config := configuration()
		config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy}
		send := func(numbers []int) error { return writer.SendMessages(numbered(topic, numbers, tap.Partitions)) }
		return tap.Rebalances(ctx, true, send, func(m *tap.Member) error {
			return c.consume(m.Leave, topic, config, &handler{
				began: func(s sarama.ConsumerGroupSession) { m.Has(len(s.Claims()[topic])) },
				ended: func(sarama.ConsumerGroupSession) { m.Has(0) },
				take: func(s sarama.ConsumerGroupSession, message *sarama.ConsumerMessage) (bool, error) {
					m.Read(number(message))
					s.MarkMessage(message, "")
					return false, nil
				},
			})
		})
	}}
}

func main() {
	tap.Main("github.com/IBM/sarama", func(server, prefix string) []tap.Check {
		c := &checks{server: server, prefix: prefix}
		client, err := sarama.NewClient([]string{server}, configuration())
		if err != nil {
			panic(err)
		}
		c.client = client
		if c.admin, err = sarama.NewClusterAdminFromClient(client); err != nil {
			panic(err)
		}
		codec := func(name string, codec sarama.CompressionCodec) tap.Check {
			return c.thereAndBack(name, func(config *sarama.Config) { config.Producer.Compression = codec })
		}
		return append([]tap.Check{
			{Name: "topic", Run: c.topics},
			codec("none", sarama.CompressionNone), codec("gzip", sarama.CompressionGZIP), codec("snappy", sarama.CompressionSnappy),
			codec("lz4", sarama.CompressionLZ4), codec("zstd", sarama.CompressionZSTD),
			c.thereAndBack("idempotent", idempotent),
			c.thereAndBack("acks=1", func(config *sarama.Config) { config.Producer.RequiredAcks = sarama.WaitForLocal }),
			{Name: "resume", Run: c.resume},
			c.group("group", sarama.NewBalanceStrategyRange()),
		}, c.more()...)
	})
}

func idempotent(config *sarama.Config) {
	config.Producer.Idempotent = true
	config.Net.MaxOpenRequests = 1
}
