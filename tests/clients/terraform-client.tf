# Two providers of Terraform at once; each asks who it is.
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.0"
    }
  }
}

variable "endpoint" {}

provider "aws" {
  endpoints {
    sts = var.endpoint
  }
}

provider "aws" {
  alias = "second"
  endpoints {
    sts = var.endpoint
  }
}

data "aws_caller_identity" "first" {}

data "aws_caller_identity" "second" {
  provider = aws.second
}
