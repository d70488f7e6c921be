"""AWS's price list as a test says: what it is to be asked, held against botocore's model, and what it answers."""

import json
from typing import Any, Final

import boto3
from botocore.stub import Stubber

from infra.cost.price_list import question

M5: Final = "instance:m5.xlarge:linux:on-demand"

# The shape that the API reference of GetProducts prints, with attributes that nothing asks for.
ATTRIBUTES: Final = {
    "m5": {
        "instanceType": "m5.xlarge",
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
        "licenseModel": "No License required",
        "locationType": "AWS Region",
        "location": "US East (N. Virginia)",
        "servicename": "Amazon Elastic Compute Cloud",
        "vcpu": "4",
    },
    "out": {"transferType": "AWS Outbound", "toLocation": "External", "servicename": "AWS Data Transfer"},
}


def product(
    sku: str,
    usage: str,
    ranges: dict[tuple[str, str], str],
    *,
    unit: str = "Hrs",
    currency: str = "USD",
    family: str = "Compute Instance",
    **attributes: str,
) -> str:
    term = f"{sku}.JRTCKXETXF"
    return json.dumps(
        {
            "product": {"productFamily": family, "attributes": {"usagetype": usage, **attributes}, "sku": sku},
            "serviceCode": "AmazonEC2",
            "terms": {
                "OnDemand": {
                    term: {
                        "priceDimensions": {
                            f"{term}.{number}": {
                                "unit": unit,
                                "endRange": end,
                                "description": f"{usd} per {unit}",
                                "appliesTo": [],
                                "rateCode": f"{term}.{number}",
                                "beginRange": begin,
                                "pricePerUnit": {currency: usd},
                            }
                            for number, ((begin, end), usd) in enumerate(ranges.items())
                        },
                        "sku": sku,
                        "effectiveDate": "2026-12-01T00:00:00Z",
                        "offerTermCode": "JRTCKXETXF",
                        "termAttributes": {},
                    }
                },
                "Reserved": {"x": {"priceDimensions": {"y": {"unit": "Hrs", "pricePerUnit": {"USD": "0.01"}}}}},
            },
            "version": "20261223000000",
            "publicationDate": "2026-12-23T00:00:00Z",
        }
    )


def m5(usd: str, sku: str = "AAAA", region: str = "us-east-1", **more: Any) -> str:
    usage = "BoxUsage:m5.xlarge" if region == "us-east-1" else "USW2-BoxUsage:m5.xlarge"
    return product(sku, usage, {("0", "Inf"): usd}, **{"regionCode": region, **ATTRIBUTES["m5"], **more})


def out(*usd: str, ends: tuple[str, ...] = ("10240", "51200", "153600", "Inf")) -> str:
    ranges = dict(zip(zip(("0", *ends), ends, strict=False), usd, strict=True))
    return product(
        "OUT",
        "DataTransfer-Out-Bytes",
        ranges,
        unit="GB",
        family="Data Transfer",
        fromRegionCode="us-east-1",
        **ATTRIBUTES["out"],
    )


class PriceList:
    """The API, held against botocore's model: what it is to be asked, and what it answers."""

    def __init__(self) -> None:
        self.client = boto3.client(
            "pricing", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none"
        )
        self.stub = Stubber(self.client)
        self.stub.activate()

    def answers(self, service: str, sku: str, region: str, *pages: list[str]) -> None:
        asked = question(service, sku, region)
        assert asked is not None
        for number, page in enumerate(pages, 1):
            answer: dict[str, Any] = {"FormatVersion": "aws_v1", "PriceList": page}
            if number < len(pages):
                answer["NextToken"] = f"page {number + 1}"
            self.stub.add_response(
                "get_products",
                answer,
                {
                    "ServiceCode": asked.code,
                    "Filters": [{"Type": "TERM_MATCH", "Field": key, "Value": value} for key, value in asked.terms],
                    "FormatVersion": "aws_v1",
                    "MaxResults": 100,
                    **({"NextToken": f"page {number}"} if number > 1 else {}),
                },
            )
