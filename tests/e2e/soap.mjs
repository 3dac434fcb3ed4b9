// A SOAP service (npm soap), 1.1 and 1.2, for tests/e2e/translations.rs.
//
//   node soap.mjs
//
// Prints `ready ADDRESS ADDRESS`: the first answers in SOAP 1.1, the second in 1.2. The item `none` is unknown. Ends when its input does.

import http from "node:http";
import { createRequire } from "node:module";

const soap = createRequire(import.meta.url)("soap");

const wsdl = `<?xml version="1.0" encoding="UTF-8"?>
<definitions name="Stock" targetNamespace="urn:stock" xmlns:tns="urn:stock" xmlns="http://schemas.xmlsoap.org/wsdl/"
    xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:xsd="http://www.w3.org/2001/XMLSchema">
  <types><xsd:schema targetNamespace="urn:stock" elementFormDefault="qualified">
    <xsd:element name="GetStock"><xsd:complexType><xsd:sequence><xsd:element name="item" type="xsd:string"/></xsd:sequence></xsd:complexType></xsd:element>
    <xsd:element name="GetStockResponse"><xsd:complexType><xsd:sequence>
      <xsd:element name="item" type="xsd:string"/><xsd:element name="count" type="xsd:int"/>
      <xsd:element name="place" type="xsd:string" maxOccurs="unbounded"/></xsd:sequence></xsd:complexType></xsd:element>
  </xsd:schema></types>
  <message name="GetStockIn"><part name="parameters" element="tns:GetStock"/></message>
  <message name="GetStockOut"><part name="parameters" element="tns:GetStockResponse"/></message>
  <portType name="StockPort"><operation name="GetStock"><input message="tns:GetStockIn"/><output message="tns:GetStockOut"/></operation></portType>
  <binding name="StockBinding" type="tns:StockPort">
    <soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
    <operation name="GetStock"><soap:operation soapAction="urn:stock/GetStock"/><input><soap:body use="literal"/></input><output><soap:body use="literal"/></output></operation>
  </binding>
  <service name="Stock"><port name="StockPort" binding="tns:StockBinding"><soap:address location="http://127.0.0.1/stock"/></port></service>
</definitions>`;

const serve = async (forceSoap12Headers) => {
  const unknown = forceSoap12Headers
    ? { Code: { Value: "soap:Sender", Subcode: { Value: "rpc:UnknownItem" } }, Reason: { Text: "no such item" }, statusCode: 400 }
    : { faultcode: "s:UnknownItem", faultstring: "no such item", statusCode: 500 };
  const GetStock = ({ item }) => {
    if (item === "none") throw { Fault: unknown };
    return { item, count: 7, place: item === "pen" ? ["here"] : ["here", "there"] };
  };
  const server = http.createServer((_, response) => response.writeHead(404).end());
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  soap.listen(server, { path: "/stock", services: { Stock: { StockPort: { GetStock } } }, xml: wsdl, forceSoap12Headers });
  return `127.0.0.1:${server.address().port}`;
};

console.log(`ready ${await serve(false)} ${await serve(true)}`);
process.stdin.on("end", () => process.exit(0)).resume();
