# The tables of Parlance in DynamoDB, the same as `parlance tables create` makes, and what
# a node may do with them. `parlance tables check` says whether they are as they must be.
terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "table_prefix" {
  description = "What the names of the tables begin with: --table-prefix of the nodes"
  type        = string
  default     = "parlance_"
}

variable "deletion_protection" {
  description = "Whether AWS refuses to delete the tables"
  type        = bool
  default     = true
}

variable "tags" {
  description = "For bills and access rules"
  type        = map(string)
  default     = {}
}

locals {
  # Partition key, sort key, and the type of the sort key.
  tables = {
    users      = { partition = "user_id", sort = null, type = null }
    rooms      = { partition = "room_id", sort = "item", type = "S" }
    messages   = { partition = "r", sort = "q", type = "N" }
    user_rooms = { partition = "user_id", sort = "room_id", type = "S" }
    consumers  = { partition = "consumer", sort = "item", type = "S" }
  }
}

resource "aws_dynamodb_table" "parlance" {
  for_each = local.tables

  name         = "${var.table_prefix}${each.key}"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = each.value.partition
  range_key    = each.value.sort

  attribute {
    name = each.value.partition
    type = "S"
  }

  dynamic "attribute" {
    for_each = each.value.sort == null ? [] : [each.value.sort]
    content {
      name = attribute.value
      type = each.value.type
    }
  }

  # The change feed: from here events leave to webhooks, Kafka and other services.
  # How far its consumers are is not part of it.
  stream_enabled   = each.key != "consumers"
  stream_view_type = each.key != "consumers" ? "KEYS_ONLY" : null

  # No time to live: a message that went by itself would leave a gap in its room's sequence.

  point_in_time_recovery {
    enabled = true
  }

  deletion_protection_enabled = var.deletion_protection
  tags                        = var.tags
}

data "aws_iam_policy_document" "node" {
  statement {
    actions = [
      "dynamodb:DescribeStream",
      "dynamodb:GetRecords",
      "dynamodb:GetShardIterator",
    ]
    resources = [for table in aws_dynamodb_table.parlance : "${table.arn}/stream/*"]
  }

  statement {
    actions = [
      "dynamodb:BatchGetItem",
      "dynamodb:BatchWriteItem",
      "dynamodb:ConditionCheckItem",
      "dynamodb:DeleteItem",
      "dynamodb:DescribeContinuousBackups",
      "dynamodb:DescribeTable",
      "dynamodb:DescribeTimeToLive",
      "dynamodb:GetItem",
      "dynamodb:PutItem",
      "dynamodb:Query",
      "dynamodb:Scan",
      "dynamodb:UpdateItem",
    ]
    resources = [for table in aws_dynamodb_table.parlance : table.arn]
  }
}

output "policy" {
  description = "For the role of the nodes: what they may do, and nothing else"
  value       = data.aws_iam_policy_document.node.json
}
